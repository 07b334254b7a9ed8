"""Objects with named members that a config can be made of: dataclasses, pydantic models, attrs classes, namespaces,
mappings."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .hints import NO_HINT, class_of, resolve_hints, union_members


@dataclass(frozen=True)
class Member:
    """One field of a dataclass or model."""

    name: str
    hint: Any
    default: Callable[[], Any] | None  # None: it has to be given
    description: str = ""


class StructureKind(Protocol):
    """How one kind of object is read, built and changed. Build and replace raise what the user's class raises."""

    checks_itself: bool  # then text that we have no conversion for is left to the class

    def holds(self, cls: type) -> bool: ...
    def members(self, cls: type) -> dict[str, Member]: ...
    def values(self, structure: Any) -> dict[Any, Any]: ...
    def build(self, cls: type, values: dict[Any, Any]) -> Any: ...
    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any: ...


class DataclassKind:
    checks_itself = False

    def holds(self, cls: type) -> bool:
        return dataclasses.is_dataclass(cls)

    def members(self, cls: type) -> dict[str, Member]:
        hints = resolve_hints(cls)
        return {
            field.name: Member(
                field.name,
                hints.get(field.name, NO_HINT),
                _dataclass_default(field),
                str(field.metadata.get("help", "")),
            )
            for field in dataclasses.fields(cls)
            if field.init
        }

    def values(self, structure: Any) -> dict[Any, Any]:
        return {field.name: getattr(structure, field.name) for field in dataclasses.fields(structure) if field.init}

    def build(self, cls: type, values: dict[Any, Any]) -> Any:
        return cls(**values)

    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any:
        return dataclasses.replace(structure, **changes)


class PydanticKind:
    """Models of pydantic 2. Known by their parts: pydantic is never imported by us, whoever has a model has it."""

    checks_itself = True

    def holds(self, cls: type) -> bool:
        return "pydantic" in sys.modules and hasattr(cls, "model_validate") and hasattr(cls, "model_fields")

    def members(self, cls: type) -> dict[str, Member]:
        fields: dict[str, Any] = cls.model_fields  # type: ignore[attr-defined]
        return {
            name: Member(
                name,
                field.annotation,
                None if field.is_required() else _pydantic_default(field),
                field.description or "",
            )
            for name, field in fields.items()
        }

    def values(self, structure: Any) -> dict[Any, Any]:
        extra = structure.model_extra or {}
        return {**{name: getattr(structure, name) for name in type(structure).model_fields}, **extra}

    def build(self, cls: type, values: dict[Any, Any]) -> Any:
        fields: dict[str, Any] = cls.model_fields  # type: ignore[attr-defined]
        by_alias = {_alias(name, fields.get(name)): value for name, value in values.items()}
        return cls.model_validate(by_alias)  # type: ignore[attr-defined]

    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any:
        # What was not set stays unset: a default that depends on another field is worked out again.
        kept = {name: value for name, value in self.values(structure).items() if name in structure.model_fields_set}
        return self.build(type(structure), {**kept, **changes})


class AttrsKind:
    """Classes of attrs, known by their parts as pydantic's. A field with a converter takes what the converter takes."""

    checks_itself = False

    def holds(self, cls: type) -> bool:
        return "attr" in sys.modules and hasattr(cls, "__attrs_attrs__")

    def members(self, cls: type) -> dict[str, Member]:
        hints = resolve_hints(cls)
        return {
            field.name: Member(
                field.name,
                NO_HINT if field.converter is not None else hints.get(field.name, field.type or NO_HINT),
                _attrs_default(field),
                str(field.metadata.get("help", "")),
            )
            for field in _attrs_fields(cls)
        }

    def values(self, structure: Any) -> dict[Any, Any]:
        return {field.name: getattr(structure, field.name) for field in _attrs_fields(type(structure))}

    def build(self, cls: type, values: dict[Any, Any]) -> Any:
        return cls(**self._by_alias(cls, values))

    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any:
        return sys.modules["attr"].evolve(structure, **self._by_alias(type(structure), changes))

    def _by_alias(self, cls: type, values: dict[Any, Any]) -> dict[str, Any]:
        """By the name that the class takes when it is built: `_rate` is given as `rate`."""
        aliases = {field.name: getattr(field, "alias", None) or field.name.lstrip("_") for field in _attrs_fields(cls)}
        return {aliases.get(name, name): value for name, value in values.items()}


class NamespaceKind:
    checks_itself = False

    def holds(self, cls: type) -> bool:
        # Whoever has a Namespace has imported argparse; nobody else pays for it.
        return "argparse" in sys.modules and issubclass(cls, sys.modules["argparse"].Namespace)

    def members(self, cls: type) -> dict[str, Member]:
        return {}

    def values(self, structure: Any) -> dict[Any, Any]:
        return dict(vars(structure))

    def build(self, cls: type, values: dict[Any, Any]) -> Any:
        return cls(**values)

    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any:
        return type(structure)(**{**vars(structure), **changes})


class MappingKind:
    checks_itself = False

    def holds(self, cls: type) -> bool:
        return issubclass(cls, Mapping)

    def members(self, cls: type) -> dict[str, Member]:
        return {}

    def values(self, structure: Any) -> dict[Any, Any]:
        return dict(structure)

    def build(self, cls: type, values: dict[Any, Any]) -> Any:
        return dict(values)

    def replace(self, structure: Any, changes: dict[Any, Any]) -> Any:
        return {**structure, **changes}


DATACLASS, PYDANTIC, ATTRS = DataclassKind(), PydanticKind(), AttrsKind()
NAMESPACE, MAPPING = NamespaceKind(), MappingKind()
TYPED_KINDS: tuple[StructureKind, ...] = (DATACLASS, PYDANTIC, ATTRS)  # their classes say which members there are
KINDS: tuple[StructureKind, ...] = (*TYPED_KINDS, NAMESPACE, MAPPING)


def kind_of_value(value: Any) -> StructureKind | None:
    """The kind of an object that has members, None for any other object and for classes."""
    if isinstance(value, type):
        return None
    return next((kind for kind in KINDS if kind.holds(type(value))), None)


def kind_of_class(cls: Any) -> StructureKind | None:
    """The kind of a dataclass or a model, None for any other class."""
    if not isinstance(cls, type):
        return None
    return next((kind for kind in TYPED_KINDS if kind.holds(cls)), None)


def structure_classes(hint: Any) -> list[type]:
    """The dataclasses and models that `hint` names, alone or in a union."""
    classes = [class_of(member) for member in union_members(hint)]
    return [cls for cls in classes if cls is not None and kind_of_class(cls) is not None]


def _dataclass_default(field: dataclasses.Field[Any]) -> Callable[[], Any] | None:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory
    if field.default is not dataclasses.MISSING:
        return lambda: field.default
    return None


def _attrs_fields(cls: type) -> list[Any]:
    return [field for field in cls.__attrs_attrs__ if field.init]  # type: ignore[attr-defined]


def _attrs_default(field: Any) -> Callable[[], Any] | None:
    attr = sys.modules["attr"]
    if field.default is attr.NOTHING:
        return None
    if not isinstance(field.default, attr.Factory):
        return lambda: field.default
    # One that wants the other fields is called by the class itself.
    factory: Callable[[], Any] = field.default.factory
    return (lambda: NO_HINT) if field.default.takes_self else factory


def _pydantic_default(field: Any) -> Callable[[], Any]:
    def default() -> Any:
        try:
            return field.get_default(call_default_factory=True)
        except TypeError:  # the factory wants the other fields; the model itself will call it
            return NO_HINT

    return default


def _alias(name: str, field: Any) -> str:
    """The name under which the model takes the field when it is built."""
    alias = getattr(field, "validation_alias", None) or getattr(field, "alias", None)
    if isinstance(alias, str):
        return alias
    choices = getattr(alias, "choices", ())
    return next((choice for choice in choices if isinstance(choice, str)), name)
