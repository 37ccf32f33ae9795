"""Adds what the framework does not say of itself to the OpenAPI document.

An example of each answer, put together from the examples of its fields, and which routes need a token.
"""

from __future__ import annotations

from typing import Any

__all__ = ["documented"]


def documented(document: dict[str, Any], *, signs_in: bool) -> dict[str, Any]:
    """Return the document with an example for each JSON answer and request.

    Args:
        document: as FastAPI makes it.
        signs_in: whether routes that demand a standing demand a token.
    """
    if signs_in:
        _say_who_needs_a_token(document)
    schemas = document["components"]["schemas"]
    for path in document["paths"].values():
        for operation in path.values():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            for body in [*bodies, *operation["responses"].values()]:
                for content in body.get("content", {}).values():
                    if content.get("schema"):
                        content["example"] = _example(content["schema"], schemas)
    return document


def _say_who_needs_a_token(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for operation in path.values():
            if operation["x-least-standing"] != "nobody":
                operation["security"] = [{"token": []}]


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for said in ("const", "default"):
        if said in schema:
            return schema[said]
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    for several in ("anyOf", "allOf"):
        if several in schema:
            return _example(schema[several][0], schemas)
    return _of_type(schema, schemas)


def _of_type(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if schema.get("type") == "object":
        return {name: _example(part, schemas) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_example(schema["items"], schemas)]
    return {"string": "", "integer": 1, "number": 0.5, "boolean": False}.get(schema.get("type", ""))
