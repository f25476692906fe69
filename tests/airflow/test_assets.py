"""Names and URIs of assets and watchers are ASCII, bounded and unique, whatever the portal is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_hubassoc.assets import association_limits_asset, drift_watchers
from airflow_provider_hubassoc.limits.config import ConfigError

CONFIG = {"version": 1, "associations": [{"from": "contacts", "to": "companies", "limit": 5}]}


def test_an_ordinary_portal_is_named_by_its_id() -> None:
    asset = association_limits_asset(62515)
    assert asset.name == "hubspot_association_limits_62515"
    assert asset.uri == "hubspot://62515/association-limits"


@given(st.text(alphabet=st.characters(), max_size=3000) | st.integers() | st.text(max_size=20))
def test_any_portal_has_an_asset(portal: str | int) -> None:
    asset = association_limits_asset(portal)
    for text in (asset.name, asset.uri):
        assert text.isascii()
        assert len(text) < 500


def test_different_portals_have_different_assets() -> None:
    ids = ["büro", "buro", "bu ro", "bu/ro", "", " ", "x" * 500, "x" * 501, "株式会社", "株式"]
    assert len({association_limits_asset(name).uri for name in ids}) == len(ids)
    assert len({association_limits_asset(name).name for name in ids}) == len(ids)


def test_the_name_of_a_watcher_is_ascii() -> None:
    names = [drift_watchers(CONFIG, conn_id)[0].name for conn_id in ("hubspot_münchen", "hubspot_munchen", "x" * 3000)]
    assert names[1] == "hubspot_munchen contacts -> companies"
    assert all(name.isascii() and len(name) <= 250 for name in names)
    assert len(set(names)) == 3


@pytest.mark.parametrize("portal", ["hubspot-emea", 7])
def test_a_portal_that_the_file_lacks_is_refused(portal: str | int) -> None:
    config = {**CONFIG, "portals": {"hubspot_emea": {"associations": []}}}
    with pytest.raises(ConfigError, match="no such portal"):
        drift_watchers(config, portal=portal)


def test_a_portal_may_have_a_line_break_at_its_end() -> None:
    override = [{"from": "contacts", "to": "companies", "limit": 2}]
    config = {**CONFIG, "portals": {"hubspot_emea": {"associations": override}}}
    [watcher] = drift_watchers(config, portal="hubspot_emea\n")
    assert watcher.trigger.serialize()[1]["association"]["limit"] == 2  # type: ignore[union-attr]


def test_the_log_says_which_overrides_apply(caplog: pytest.LogCaptureFixture) -> None:
    config = {**CONFIG, "portals": {"hubspot_emea": {"associations": []}}}
    with caplog.at_level("INFO"):
        drift_watchers(config)
    assert "No overrides apply" in caplog.text
