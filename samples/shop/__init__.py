"""A shop and its three legacy systems: an ERP behind SOAP, a warehouse that reads files, a stock database."""
