"""JSON Schemas of every document and of every YAML file.

    python -m lydite.api.schemas docs/schema

Each verb's document is defined once, as a typed dictionary beside the verb; keys of older releases
are added as deprecated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from lydite.api.verbs import OWN_VERBS, VERBS
from lydite.exhibits import ExhibitDocument
from lydite.files import write_atomic
from lydite.results import Result

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def result_types() -> dict[str, type[Result]]:
    """Result class of each verb, by the name in its schema."""
    for name in OWN_VERBS:
        VERBS.find(name)
    return {
        kind.verb: kind
        for kind in sorted(Result.__subclasses__(), key=lambda k: k.verb)
        if kind.__module__.startswith("lydite.")
    }


def schema_of(result_type: type[Result]) -> dict[str, Any]:
    """Schema of a result's document, with the key `schema` and the deprecated keys."""
    form = get_type_hints(result_type.document)["return"]
    schema = TypeAdapter(form).json_schema()
    _close(schema)
    for definition in schema.get("$defs", {}).values():
        _close(definition)
    properties = {"schema": {"const": f"lydite/{result_type.verb}/1"}, **schema["properties"]}
    schema["properties"] = properties
    schema["required"] = ["schema", *schema["required"]]
    for old, new in result_type.deprecated.items():
        _deprecate(schema, old.split("."), new.rpartition(".")[2])
    if result_type.deprecated:
        properties["deprecated"] = {
            "type": "object",
            "description": "Keys of older releases, with those that replace them.",
            "additionalProperties": {"type": "string"},
        }
    if result_type.exhibits:
        exhibit = TypeAdapter(ExhibitDocument).json_schema()
        shared = exhibit.pop("$defs")
        schema["$defs"] = {**schema.get("$defs", {}), **shared, "ExhibitDocument": exhibit}
        for definition in (*shared.values(), exhibit):
            _close(definition)
        properties["exhibits"] = {
            "type": "array",
            "description": "Tables and charts that the page of the result shows first.",
            "items": {"$ref": "#/$defs/ExhibitDocument"},
        }
    return {"$schema": DIALECT, "$id": f"lydite/{result_type.verb}/1", **schema}


def _close(schema: dict[str, Any]) -> None:
    """Forbid keys that the schema does not state."""
    if "properties" in schema:
        schema["additionalProperties"] = False


def _deprecate(root: dict[str, Any], old: Sequence[str], new: str) -> None:
    """Add a key of an older release to the object that holds the new key."""
    place = root
    for part in old[:-1]:
        form = place["properties"][part.removesuffix("[]")]
        forms = [form.get("items", form), *form.get("anyOf", ())]
        reference = next((each["$ref"] for each in forms if "$ref" in each), None)
        if reference is None:
            return  # a mapping of any keys
        place = root["$defs"][reference.rpartition("/")[2]]
    place["properties"][old[-1]] = {**place["properties"][new], "deprecated": True}


def file_schemas() -> dict[str, Mapping[str, Any]]:
    """Schemas of the YAML files: devices, clusters, chips."""
    from lydite.hardware.chip import chip_json_schema
    from lydite.hardware.cluster import json_schema
    from lydite.hardware.device_file import DeviceSpec

    return {
        "device": DeviceSpec.model_json_schema(),
        "cluster": json_schema(),
        "chip-file": chip_json_schema(),
    }


def all_schemas() -> dict[str, str]:
    """Text of each file in docs/schema, by name."""
    documents = {verb: schema_of(kind) for verb, kind in result_types().items()}
    files = {name: {"$schema": DIALECT, **schema} for name, schema in file_schemas().items()}
    return {
        f"{name}.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        for name, schema in (documents | files).items()
    }


def main() -> None:
    """Write all schemas into the given folder."""
    folder = Path(sys.argv[1])
    for name, text in all_schemas().items():
        write_atomic(folder / name, text)


if __name__ == "__main__":
    main()
