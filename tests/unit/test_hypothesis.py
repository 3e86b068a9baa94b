"""Properties hold or fail alike on an idle and on a loaded machine."""

import re
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parents[1]


def test_no_limit_of_any_profile_depends_on_the_load():
    for name in ("fixed", "search"):
        profile = settings.get_profile(name)
        assert profile.deadline is None, name
        assert HealthCheck.too_slow in profile.suppress_health_check, name


def test_no_test_sets_such_a_limit_for_itself():
    """Health checks of a test replace those of the profile, so it has to name these too."""
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if path == Path(__file__) or "hypothesis" not in text:
            continue
        for given in re.findall(r"suppress_health_check=\[([^\]]*)", text):
            assert given.strip().startswith("*settings.default.suppress_health_check"), path
        assert not re.findall(r"@settings\([^)]*deadline=", text), path
