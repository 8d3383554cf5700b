"""What several test modules share."""

import jaxtyping
import pytest


@pytest.fixture
def unchecked():
    """Outside the tests nobody checks the annotations before the functions do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
