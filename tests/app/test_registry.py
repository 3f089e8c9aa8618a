"""Which models are served, and which of each name is current."""

import pytest

from app.refusals import ConflictError, NotFoundError
from app.registry import Registry
from app.served import Model
from tests.fakes import make_predictor


def model(name: str, version: int) -> Model:
    return Model(make_predictor(name, version))


def served(registry: Registry) -> list[str]:
    return [f"{model.name}@{model.version}" for model in registry.models]


def names(models: list[Model]) -> list[str]:
    return [f"{model.name}@{model.version}" for model in models]


def test_the_first_of_all_is_the_default_and_the_first_of_a_name_is_current() -> None:
    registry = Registry([model("a", 1), model("a", 2), model("b", 7)])
    assert (registry.get().name, registry.get().version) == ("a", 1)
    assert registry.get("a", "2").version == 2
    assert registry.get("b").version == 7
    assert registry.versions("a") == [1, 2]
    for name, version in (("c", None), ("a", "3"), ("a", "01"), ("a", "x")):
        with pytest.raises(NotFoundError, match=r"a \(version 1\), a \(version 2\), b \(version 7\)"):
            registry.get(name, version)


def test_a_new_version_takes_the_place_of_the_old_one_and_the_names_keep_theirs() -> None:
    registry = Registry([model("a", 1), model("b", 1)])
    assert names(registry.put(model("a", 2))) == ["a@1"]
    assert served(registry) == ["a@2", "b@1"]
    assert names(registry.put(model("c", 1))) == []
    assert served(registry) == ["a@2", "b@1", "c@1"]
    assert names(registry.put(model("b", 2))) == ["b@1"]
    assert served(registry) == ["a@2", "b@2", "c@1"]


def test_what_is_kept_stays_beside_a_new_version_and_what_is_not_goes() -> None:
    registry = Registry([model("a", 1)], kept=[("a", 1)])
    registry.put(model("a", 2))
    assert served(registry) == ["a@2", "a@1"]
    assert names(registry.put(model("a", 3), keep=True)) == ["a@2"]
    assert served(registry) == ["a@3", "a@1"]
    registry.put(model("a", 4))
    assert served(registry) == ["a@4", "a@3", "a@1"]


def test_a_version_beside_the_current_one_stays_until_it_is_removed() -> None:
    registry = Registry([model("a", 1)])
    assert registry.put(model("a", 2), current=False) == []
    assert served(registry) == ["a@1", "a@2"]
    registry.put(registry.get("a", "2"), current=False)
    assert served(registry) == ["a@1", "a@2"]
    registry.put(model("a", 3))
    assert served(registry) == ["a@3", "a@2"]


def test_a_loaded_version_becomes_current_without_being_another_model() -> None:
    registry = Registry([model("a", 2), model("a", 1)], kept=[("a", 1)])
    old = registry.get("a", "1")
    registry.put(old)
    assert registry.get("a") is old
    assert served(registry) == ["a@1"]


def test_a_reader_of_the_models_sees_one_state_whatever_happens_meanwhile() -> None:
    registry = Registry([model("a", 1)])
    before = registry.models
    registry.put(model("a", 2))
    assert [one.version for one in before] == [1]


def test_a_model_that_is_read_anew_takes_the_very_place_of_the_broken_one() -> None:
    registry = Registry([model("a", 1), model("a", 2), model("b", 1)])
    broken, fresh = registry.get("a", "2"), model("a", 2)
    assert registry.replace(broken, fresh) == [broken]
    assert served(registry) == ["a@1", "a@2", "b@1"]
    assert registry.get("a", "2") is fresh
    assert registry.replace(broken, model("a", 2)) == []  # it is not served any more
    assert registry.get("a", "2") is fresh


def test_the_newest_version_follows_a_current_one_that_is_removed() -> None:
    registry = Registry([model("a", 2), model("a", 1), model("a", 3), model("b", 1)])
    assert names(registry.remove("a", 2)) == ["a@2"]
    assert served(registry) == ["a@3", "a@1", "b@1"]
    assert names(registry.remove("a", 1)) == ["a@1"]
    assert names(registry.remove("b")) == ["b@1"]
    assert served(registry) == ["a@3"]


def test_the_last_of_the_default_model_stays() -> None:
    registry = Registry([model("a", 1), model("a", 2), model("b", 1)])
    with pytest.raises(ConflictError, match="default"):
        registry.remove("a")
    registry.remove("a", 1)
    with pytest.raises(ConflictError, match="default"):
        registry.remove("a", 2)
    assert served(registry) == ["a@2", "b@1"]


def test_what_is_not_served_cannot_be_removed() -> None:
    registry = Registry([model("a", 1)])
    for name, version in (("b", None), ("a", 2)):
        with pytest.raises(NotFoundError):
            registry.remove(name, version)


def test_the_newest_version_ever_served_is_remembered() -> None:
    registry = Registry([model("a", 1), model("b", 3)])
    registry.put(model("b", 4))
    registry.put(model("b", 2))
    registry.remove("b")
    assert (registry.newest("a"), registry.newest("b"), registry.newest("c")) == (1, 4, None)
