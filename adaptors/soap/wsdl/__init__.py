"""`adaptor wsdl`: what an engineer does with a WSDL before an adaptor runs: fetch, read, make typed Python of it."""
