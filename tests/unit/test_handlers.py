import inspect
import re
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Generic, Optional, TypeVar, Union

import pytest
from pytest_mock import MockerFixture

from adapter_sdk import Adaptor, ConfigError, Event, EventData, InvalidReply, NotApplied, RetryPolicy, handles
from adapter_sdk.handlers import HandlerSpec
from adaptors.sql import Connection, SqlAdaptor

T = TypeVar("T")


class Placed(EventData, type="shop.placed"):
    order_id: str


class Cancelled(EventData, type="shop.cancelled"):
    order_id: str


class Booked(EventData, type="erp.booked"):
    order_id: str


class Short(EventData, type="erp.short"):
    order_id: str


class Untyped(EventData):
    order_id: str


class Page(EventData, Generic[T], type="shop.page"):
    items: list[T]


BOOKED, SHORT = Booked(order_id="o"), Short(order_id="o")
PLACED = Event(source="/shop", id="e-1", type="shop.placed", data=Placed(order_id="o-1"))


def method(returns: object = None, event: object = Event[Placed], **more: object) -> Callable[..., Any]:
    """A handler's function with these annotations; `...` leaves one out."""

    def take(self: object, event: object) -> None:
        return None

    def take_with_handle(self: object, event: object, db: object) -> None:
        return None

    function = take_with_handle if more else take
    hints = {"event": event, "return": returns, **more}
    function.__annotations__ = {name: hint for name, hint in hints.items() if hint is not ...}
    return function


def adaptor_with(*functions: Callable[..., Any], base: type[Adaptor] = Adaptor) -> type[Adaptor]:
    """An adaptor class with these handlers."""
    members = {function.__name__: handles(function) for function in functions}
    return types.new_class("Made", (base,), exec_body=lambda body: body.update(name="made", **members))


def spec_of(function: Callable[..., Any]) -> HandlerSpec:
    """What class creation learns of one method."""
    (spec,) = adaptor_with(function)._handlers.values()
    return spec


def fault_of(*functions: Callable[..., Any], base: type[Adaptor] = Adaptor) -> str:
    """The ConfigError that a class with these handlers raises."""
    with pytest.raises(ConfigError) as caught:
        adaptor_with(*functions, base=base)
    return str(caught.value)


BOTH = (Booked, Short)


class TestReplyAnnotations:
    @pytest.mark.parametrize(
        ("annotation", "replies", "in_list", "silent"),
        [
            (Booked, (Booked,), False, False),
            (None, (), False, True),
            (Booked | None, (Booked,), False, True),
            (Optional[Booked], (Booked,), False, True),  # noqa: UP045 - engineers write it so
            (Booked | Short, BOTH, False, False),
            (Union[Booked, Short, None], BOTH, False, True),  # noqa: UP007 - engineers write it so
            (list[Booked | Short], BOTH, True, False),
            (Sequence[Booked], (Booked,), True, False),
            (tuple[Booked, Short], BOTH, True, False),
            (tuple[Booked, ...], (Booked,), True, False),
            (list[Booked] | None, (Booked,), True, True),
        ],
    )
    def test_each_form_is_understood(
        self, annotation: object, replies: tuple[type, ...], in_list: bool, silent: bool
    ) -> None:
        """One reply, none, either of several, an optional one and lists of them are told apart."""
        spec = spec_of(method(annotation))
        assert (spec.replies, spec.replies_in_list, spec.may_be_silent) == (replies, in_list, silent)

    @pytest.mark.parametrize(
        ("annotation", "returned", "expected"),
        [
            (list[Booked | Short], [BOOKED, SHORT], (BOOKED, SHORT)),
            (list[Booked | Short], (), ()),
            (None, None, ()),
            (Booked, BOOKED, (BOOKED,)),
            (Booked | None, None, ()),
        ],
    )
    def test_replies_as_declared(self, annotation: object, returned: object, expected: tuple[EventData, ...]) -> None:
        """What a handler returns as it declared becomes its replies, in order."""
        assert spec_of(method(annotation)).check_replies(returned) == expected

    @pytest.mark.parametrize(
        ("annotation", "returned"),
        [
            (list[Booked | Short], BOOKED),
            (list[Booked | Short], None),
            (list[Booked | Short], [BOOKED, None]),
            (list[Booked | Short], [Placed(order_id="o")]),
            (None, BOOKED),
            (Booked, None),
            (Booked, SHORT),
            (Booked, {"order_id": "o"}),
            (Booked, [BOOKED]),
        ],
    )
    def test_replies_other_than_declared(self, annotation: object, returned: object) -> None:
        """A return that its annotation does not promise is InvalidReply, which names the handler and never leaves."""
        with pytest.raises(InvalidReply, match=r"Made\.take \(.*test_handlers\.py:\d+\) returned"):
            spec_of(method(annotation)).check_replies(returned)

    def test_a_subclass_of_the_promised_reply_is_one(self) -> None:
        """A reply may be of a class derived from the declared one."""

        class BookedLate(Booked):
            days: int

        late = BookedLate(order_id="o", days=3)
        assert spec_of(method(Booked)).check_replies(late) == (late,)
        assert late.event_type == "erp.booked"


class TestEventAnnotation:
    def test_generic_event_data(self) -> None:
        """Event data may be a generic model with its parameter filled in, nested as deep as one likes."""
        spec = spec_of(method(event=Event[Page[Page[Placed]]]))
        assert spec.event_type == "shop.page"
        data = spec.data_type.model_validate({"items": [{"items": [{"order_id": "o-1"}]}]})
        assert data == Page[Page[Placed]](items=[Page[Placed](items=[Placed(order_id="o-1")])])

    def test_annotations_as_text(self) -> None:
        """Annotations may be text, also of classes that only the enclosing function knows."""

        class Local(EventData, type="shop.local"):
            order_id: str

        class TextAdaptor(Adaptor):
            name = "text"

            @handles
            def take(self, event: "Event[Local]") -> "Booked | None":
                return None

        assert TextAdaptor._handlers["shop.local"].data_type is Local


class Outlines:
    """Functions whose shape alone is wrong for a handler."""

    def no_event(self) -> None: ...
    def too_many(self, event: Event[Placed], more: object) -> None: ...
    async def waits(self, event: Event[Placed]) -> None: ...
    async def waits_and_yields(self, event: Event[Placed]) -> AsyncIterator[Booked]:
        yield BOOKED

    def yields(self, event: Event[Placed]) -> Iterator[Booked]:
        yield BOOKED


class TestFaultsAtClassCreation:
    @pytest.mark.parametrize(
        ("function", "why"),
        [
            (Outlines.no_event, "takes (self, ); a handler of this base takes (self, event)"),
            (Outlines.too_many, "a handler of this base takes (self, event)"),
            (Outlines.waits, "is async; a handler is a plain function"),
            (Outlines.waits_and_yields, "is async; a handler is a plain function"),
            (Outlines.yields, "yields; a handler returns its replies, several of them as a list"),
            (method(event=...), "parameter 'event' has no annotation; write `event: Event[YourData]`"),
            (method(event=Placed), "write `event: Event[YourData]`"),
            (method(event=Event), "write `event: Event[YourData]`"),
            (method(event=types.GenericAlias(Event, int)), "int is not event data; derive it from EventData"),
            (method(event=Event[Untyped]), 'Untyped has no event type; write `class Untyped(EventData, type="…")`'),
            (method(event="Event[Nowhere]"), "'Nowhere' is not defined; import or define that name"),
            (method(event="inspect.Nowhere"), "import or define that name"),
            (method(event="Event["), "an annotation cannot be read"),
            (method(...), "has no return annotation; write the reply's type, or `-> None`"),
            (method(str), "str is not event data"),
            (method(Untyped), "Untyped has no event type"),
            (method(Booked | int), "int is not event data"),
            (method(list), "list is not event data"),
            (method(list[Booked] | Short), "mixes a list with single replies; write `list[A | B]`"),
            (method(list[Booked | None]), "promises None inside a list"),
        ],
    )
    def test_a_fault_names_class_method_and_line_and_what_to_write(
        self, function: Callable[..., Any], why: str
    ) -> None:
        """A wrong signature is refused with class, method, file and line, and what to write instead."""
        message = fault_of(function)
        assert message.startswith(f"Made.{function.__name__} ({__file__}:{function.__code__.co_firstlineno}): ")
        assert why in message

    def test_all_faults_of_a_class_come_at_once(self) -> None:
        """A class with several faults names every one of them in a single error."""
        message = fault_of(Outlines.waits, Outlines.yields, Outlines.no_event)
        assert [line.partition(" ")[0] for line in message.splitlines()] == [
            "Made.waits",
            "Made.yields",
            "Made.no_event",
        ]

    def test_two_handlers_for_one_type(self) -> None:
        """Two handlers of one event type are refused, and both are named with their lines."""
        with pytest.raises(ConfigError) as caught:

            class Twice(Adaptor):
                name = "twice"

                @handles
                def first(self, event: Event[Placed]) -> None:
                    return None

                @handles
                def second(self, event: Event[Placed]) -> None:
                    return None

        assert re.search(
            r"Twice\.second \(.*:\d+\): handles 'shop.placed', as does first \(.*Twice\.first \(.*:\d+\)\)",
            str(caught.value),
        )

    def test_the_handle_is_the_family_s(self) -> None:
        """In a family the second parameter is annotated with its handle, with a base of it, or left out."""
        assert "write `db: Connection`" in fault_of(method(db=...), base=SqlAdaptor)
        assert "annotated str; this base gives a Connection" in fault_of(method(db=str), base=SqlAdaptor)
        for function, takes in ((method(db=Connection), True), (method(db=object), True), (method(), False)):
            assert adaptor_with(function, base=SqlAdaptor)._handlers["shop.placed"].takes_handle is takes

    @pytest.mark.parametrize("name", ["", "Stock", "1stock", "-stock", "my stock", "stöck", "a.b", "x" * 61])
    def test_the_name_of_an_adaptor(self, name: str) -> None:
        """A name that cannot be a queue's and a ledger's is refused with what to give instead."""
        with pytest.raises(ConfigError, match="lower-case letters, digits and dashes"):
            type("Named", (Adaptor,), {"name": name, "take": handles(method())})

    def test_options_that_cannot_be(self) -> None:
        """A pattern, timeout or settle time that is none is refused where it stands."""
        with pytest.raises(ConfigError, match=rf"take \({re.escape(__file__)}:\d+\): where\.data"):
            handles(where={"data": "new"})(method())
        for timeout in (0, -1):
            with pytest.raises(ConfigError, match="timeout"):
                handles(timeout=timeout)
        for settle in (-1, float("nan"), 31 * 86_400):
            with pytest.raises(ConfigError, match=r"take\.verify: settle"):
                handles(method()).verify(settle=settle)

    def test_a_verify_that_answers_otherwise(self) -> None:
        """A `verify` whose annotation is not its handler's, with NotApplied, is refused with its own line."""

        def number(self: object, event: Event[Placed]) -> int:
            raise AssertionError

        def bare(self: object, event: Event[Placed]):  # type: ignore[no-untyped-def]
            raise AssertionError

        for function, why in ((number, "int is not event data"), (bare, "has no return annotation")):
            handler = handles(method())
            handler.verify(function)
            with pytest.raises(ConfigError, match=why):
                type("Made", (Adaptor,), {"name": "made", "take": handler})

    @pytest.mark.parametrize(
        ("function", "why"), [(Outlines.waits, "is async"), (Outlines.no_event, "a handler of this base takes")]
    )
    def test_verify_is_checked_as_the_handler_is(self, function: Callable[..., Any], why: str) -> None:
        """A `verify` that is async or takes other parameters is refused with its own line."""
        handler = handles(method())
        handler.verify()(function)
        with pytest.raises(ConfigError) as caught:
            type("Made", (Adaptor,), {"name": "made", "take": handler})
        place = f"Made.{function.__name__} ({__file__}:{function.__code__.co_firstlineno})"
        assert place in str(caught.value)
        assert why in str(caught.value)

    def test_verify_takes_what_its_handler_takes(self) -> None:
        """A `verify` without the handle that its handler takes is refused, not found out in the night of a doubt."""
        handler = handles(method(db=Connection))
        handler.verify()(method())
        with pytest.raises(ConfigError, match=r"a `verify` takes what its handler takes: \(self, event, db\)"):
            type("Made", (SqlAdaptor,), {"name": "made", "take": handler})


class Base(Adaptor):
    name = "base"

    @handles
    def placed(self, event: Event[Placed]) -> Booked:
        """Book it."""
        return Booked(order_id=event.data.order_id)

    @placed.verify(settle=30)
    def was_booked(self, event: Event[Placed]) -> Booked | NotApplied:
        return NotApplied()


class TestInheritance:
    def test_handlers_are_inherited_and_added_to(self) -> None:
        """A subclass has the handlers of its base and its own, and the base stays as it was."""

        class More(Base):
            name = "more"

            @handles
            def cancelled(self, event: Event[Cancelled]) -> None:
                return None

        assert set(More._handlers) == {"shop.placed", "shop.cancelled"}
        assert set(Base._handlers) == {"shop.placed"}
        assert More._handlers["shop.placed"].verify == "was_booked"

    def test_an_override_takes_the_place_and_may_call_the_original(self) -> None:
        """An overriding handler replaces the inherited one, and reaches it through super()."""

        class Louder(Base):
            @handles(idempotent=True)
            def placed(self, event: Event[Placed]) -> Booked:
                return Booked(order_id=super().placed(event).order_id.upper())

        assert Louder._handlers["shop.placed"].options.idempotent
        assert Louder().placed(PLACED) == Booked(order_id="O-1")

    def test_an_override_without_the_decorator_is_a_fault(self) -> None:
        """A plain method that hides a handler would silently lose an event type, so it is refused."""
        with pytest.raises(ConfigError, match=r"Forgot\.placed .*overrides a handler; mark it with @handles too"):

            class Forgot(Base):
                def placed(self, event: Event[Placed]) -> Booked:
                    return Booked(order_id="x")

    def test_a_handler_is_removed_with_none(self) -> None:
        """`name = None` takes an inherited handler out."""

        class Without(Base):
            placed = None  # type: ignore[assignment]

        assert not Without._handlers

    def test_an_overridden_verify_is_the_one_that_is_asked(self) -> None:
        """A subclass may replace the method behind `verify` by its name."""

        class Sure(Base):
            def was_booked(self, event: Event[Placed]) -> Booked | NotApplied:
                return Booked(order_id="sure")

        assert Sure._handlers["shop.placed"].verify == "was_booked"
        assert Sure().was_booked(PLACED) == Booked(order_id="sure")

    def test_a_class_without_handlers_is_a_base(self) -> None:
        """A common base needs no name."""

        class Common(Adaptor):
            pass

        assert not Common._handlers


class TestOptions:
    def test_options_reach_the_spec(self) -> None:
        """What stands in `@handles(...)` and `verify(...)` is kept for the pipeline."""
        policy = RetryPolicy(delays=(1, 2))

        class Choosy(Adaptor):
            name = "choosy"

            @handles(where={"data": {"order_id": ["o-1"]}}, idempotent=True, retry=policy, timeout=20)
            def placed(self, event: Event[Placed]) -> None:
                return None

        options = Choosy._handlers["shop.placed"].options
        assert options.where is not None
        assert options.where.matches({"data": {"order_id": "o-1"}})
        assert (options.idempotent, options.retry, options.timeout) == (True, policy, 20)

    def test_defaults(self) -> None:
        """Bare `@handles` narrows nothing, is not idempotent and leaves retry and timeout to the settings."""
        spec = Base._handlers["shop.placed"]
        assert (spec.options.where, spec.options.idempotent, spec.options.retry, spec.options.timeout) == (
            None,
            False,
            None,
            None,
        )
        assert (spec.verify, spec.settle) == ("was_booked", 30)


class TestCalling:
    def test_a_handler_is_called_like_the_method_it_is(self) -> None:
        """On an instance, through the class, and by keyword: a handler is its method."""
        base = Base()
        assert base.placed(PLACED) == Booked(order_id="o-1")
        assert base.placed(event=PLACED) == Booked(order_id="o-1")
        assert Base.placed(base, PLACED) == Booked(order_id="o-1")
        assert base.was_booked(PLACED) == NotApplied()

    def test_a_handler_is_tested_with_a_mock_and_no_broker(self, mocker: MockerFixture) -> None:
        """A family's handler takes any stand-in for its handle."""

        class Stock(SqlAdaptor):
            name = "stock"

            @handles
            def reserve(self, event: Event[Placed], db: Connection) -> Booked | None:
                return Booked(order_id="x") if db.scalar(mocker.sentinel.query) else None

        db = mocker.create_autospec(Connection, instance=True)
        db.scalar.return_value = 1
        assert Stock().reserve(PLACED, db) == Booked(order_id="x")
        db.scalar.assert_called_once_with(mocker.sentinel.query)

    def test_documentation_tools_see_the_method(self) -> None:
        """Name, docstring and signature of the method shine through."""
        assert Base.placed.__name__ == "placed"
        assert Base.placed.__doc__ == "Book it."
        assert list(inspect.signature(Base.placed).parameters) == ["self", "event"]
