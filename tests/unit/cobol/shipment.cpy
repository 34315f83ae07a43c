000100* What a COBOL program and the models made of this copybook agree on.    SHIP0001
000200 01  SHIPMENT.                                                    SHIP0002
000300     05  HEADER.                                                  SHIP0003
000400         10  ORDER-NO         PIC X(8).                           SHIP0004
000500         10  KIND             PIC X.                              SHIP0005
000600             88  IS-PARCEL    VALUE 'P'.                          SHIP0006
000700             88  IS-PALLET    VALUE 'L' 'M'.                      SHIP0007
000800         10  ITEM-COUNT       PIC 9(2) COMP-3.                    SHIP0008
000900     05  BALANCES.                                                SHIP0009
001000         10  B-ZONED          PIC S9(5)V99.                       SHIP0010
001100         10  B-LEADING        PIC S9(5) LEADING.                  SHIP0011
001200         10  B-SEPARATE       PIC S9(3)V9 SIGN IS TRAILING        SHIP0012
001300                              SEPARATE CHARACTER.                 SHIP0013
001400         10  B-PACKED         PIC S9(7)V99 COMP-3.                SHIP0014
001500         10  B-BINARY         PIC S9(9) BINARY.                   SHIP0015
001600         10  B-SMALL          PIC 9(4) COMP.                      SHIP0016
001700         10  B-NATIVE         PIC S9(9) COMP-5.                   SHIP0017
001800         10  B-THOUSANDS      PIC 9(3)PPP.                        SHIP0018
001900     05  FILLER               PIC X(3) VALUE '---'.               SHIP0019
002000     05  DETAIL-AREA          PIC X(10).                          SHIP0020
002100     05  PARCEL REDEFINES DETAIL-AREA.                            SHIP0021
002200         10  WEIGHT           PIC S9(4)V9(3) COMP-3.              SHIP0022
002300         10  DIMENSION        PIC 9(3) COMP OCCURS 3.             SHIP0023
002400     05  PALLET REDEFINES DETAIL-AREA.                            SHIP0024
002500         10  LICENCE          PIC X(7).                           SHIP0025
002600     05  ITEM OCCURS 0 TO 9 TIMES DEPENDING ON ITEM-COUNT.        SHIP0026
002700         10  SKU              PIC X(4).                           SHIP0027
002800         10  QUANTITY         PIC S9(3).                          SHIP0028
