"""Chat templates of strangers: checked as a tree, then rendered in the sandbox that transformers uses.

A template is a program. jinja2's sandbox keeps it from reaching Python, and lets it loop for ever or fill the memory:
``load`` refuses what ``mbom.facts.jinja`` says no honest template does, and everything here runs in a child process
with limits (see ``mbom.engine.render``). What ``ChatTemplate.render`` returns equals ``apply_chat_template`` of
transformers 5.23 (``transformers/utils/chat_template_utils.py``), but for the clock and chance, which stand still.
"""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from mbom.errors import FormatError, RefusedError
from mbom.facts.jinja import EXTENSIONS, faults, parse
from mbom.strictjson import Json

OUTPUT_LIMIT = 1 << 20  # characters; a prompt is cut at 256 tokens anyway

# What a template is told when it asks for the date: some put it into the system message.
CLOCK = datetime(2025, 1, 1, tzinfo=UTC)

# A template fails on messages that it was not written for as any program fails.
_FAILURES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class ChatTemplate:
    """A template that has been checked and compiled."""

    def __init__(self, name: str, compiled: jinja2.Template) -> None:
        self.name = name
        self._compiled = compiled

    def render(
        self,
        messages: Sequence[Mapping[str, Json]],
        *,
        tools: Sequence[Mapping[str, Json]] | None,
        special_tokens: Mapping[str, str],
    ) -> str | None:
        """Return the conversation as text with the prompt for the next turn, or None when the template refuses it.

        Raises:
            RefusedError: when the template tries to leave the sandbox, or writes more than ``OUTPUT_LIMIT``.
        """
        random.seed(0)  # the filter "random" and the function "lipsum" draw from here
        parts, length = [], 0
        try:
            for part in self._compiled.generate(
                messages=messages, tools=tools, documents=None, add_generation_prompt=True, **special_tokens
            ):
                parts.append(part)
                length += len(part)
                if length > OUTPUT_LIMIT:
                    break
        except jinja2.exceptions.SecurityError as error:
            raise RefusedError(f"{self.name}: tries to leave the sandbox: {error}") from error
        except _FAILURES:
            return None
        if length > OUTPUT_LIMIT:
            raise RefusedError(f"{self.name}: writes more than {OUTPUT_LIMIT} characters for one prompt")
        return "".join(parts)


def load(name: str, source: str) -> ChatTemplate:
    """Check and compile the template ``source``; ``name`` is what messages call it.

    Raises:
        FormatError: when it is no template.
        RefusedError: when it does what no honest template does.
    """
    environment = _environment()
    fault = next(faults(parse(name, source, environment)), None)
    if fault is not None:
        raise RefusedError(f"{name}: line {fault.line} {fault.phrase}, which no chat template needs")
    try:
        return ChatTemplate(name, environment.from_string(source))
    except jinja2.TemplateSyntaxError as error:
        raise FormatError(f"{name}: not a Jinja template: {error.message} at line {error.lineno}") from error
    except (RecursionError, SyntaxError, ValueError) as error:
        raise FormatError(f"{name}: a template that cannot be compiled: {type(error).__name__}") from error


class _Dict:
    """The function ``dict`` without the class behind it."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:  # noqa: ANN401 - whatever the template passes
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:  # noqa: ANN401 - whatever the template passes
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace that holds no underscore names, as in transformers."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - "self" is a name that templates may use
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _check_attribute(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401 - whatever the template assigns
        _check_attribute(name)
        super().__setitem__(name, value)


def _check_attribute(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"stores {name[:40]!r} in a namespace")


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.exceptions.TemplateError(message)


def _tojson(
    value: Any,  # noqa: ANN401 - whatever the template passes
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Write JSON without escaping HTML, unlike the filter that jinja2 brings along."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=EXTENSIONS)
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = CLOCK.strftime
    environment.globals["dict"] = _Dict()
    environment.globals["namespace"] = _Namespace
    return environment
