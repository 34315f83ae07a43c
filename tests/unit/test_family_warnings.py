from pathlib import Path

import pytest

from adaptors.soap import SoapSettings
from samples.shop.erp.soap import WSDL_FILE
from samples.shop.erp_adaptor import ErpAdaptor


@pytest.mark.parametrize(("timeout", "warned"), [(2.0, 0), (3.0, 0), (30.0, 1)])
def test_a_question_that_comes_too_early_is_warned_of(timeout: float, warned: int) -> None:
    """A `settle` below the time that a call may take is named, with class and method; one at or above it is not."""
    settings = SoapSettings(wsdl=Path(WSDL_FILE), port="Soap12", endpoint="http://127.0.0.1:1/soap", timeout=timeout)
    family = ErpAdaptor._family(settings)
    family.bind(ErpAdaptor())
    warnings = family.warnings()
    assert len(warnings) == warned
    assert all("ErpAdaptor.book" in warning and "settle=3" in warning for warning in warnings)
