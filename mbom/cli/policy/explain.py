"""`mbom policy explain`."""

from pathlib import Path

import click

from mbom.cli import clock, options
from mbom.cli.console import Display, plain
from mbom.cli.policy import judged
from mbom.errors import UsageError
from mbom.policy import Decision, Policy, load
from mbom.policy.decision import exit_code
from mbom.policy.document import is_pattern
from mbom.policy.entries import is_for
from mbom.policy.keys import KEYS
from mbom.policy.kinds import Value
from mbom.policy.settings import Settings
from mbom.strictjson import Json

SCHEMA = "urn:mbom:policy-explanation:v1"


@click.command()
@click.argument("file", type=options.PATH)
@click.argument("model")
@click.argument("bundle", type=options.PATH, required=False)
@options.as_json
@options.quiet
@click.pass_context
def explain(context: click.Context, *, file: Path, model: str, bundle: Path | None, as_json: bool, quiet: bool) -> None:
    """Show what a policy says for one model: every value, and the line that it comes from.

    MODEL is the model's name as in the lock file, such as org/name. With a BUNDLE of it, what the policy decides is
    shown too, by itself and with nothing that it replaces. Exit status: 0, or that of the decision: 1 refused, 3
    something could not be checked.

    \b
    Examples:
      mbom policy explain mbom.yaml openai/gpt-oss-20b
      mbom policy explain mbom.yaml openai/gpt-oss-20b gpt-oss-20b.mbom
    """
    display = Display(quiet=quiet)
    if not is_pattern(model) or any(character in model for character in "*?"):
        raise UsageError(f"MODEL is {model[:80]!r}; name one model, such as openai/gpt-oss-20b")
    policy = load(file)
    decision = judged.judge(policy, bundle, model=model) if bundle is not None else None
    if as_json:
        display.json(explained(policy, model, decision))
    else:
        for line in _lines(policy, model):
            display.data(plain(line).replace("\n", "\\n"))
        judged.show(display, [decision] if decision is not None else [])
    context.exit(exit_code([decision]) if decision is not None else 0)


def explained(policy: Policy, model: str, decision: Decision | None) -> dict[str, Json]:
    """Return what a policy says for a model as JSON, as ``schemas/policy-explanation.schema.json`` describes it."""
    settings = policy.settings(model)
    now = clock.now()
    return {
        "schema": SCHEMA,
        "file": policy.file,
        "model": model,
        "overrides": [
            {"pattern": item.pattern, "line": item.place.line} for item in policy.overriding(model)
        ],
        "settings": {
            path: {
                "value": _json(settings.value(path)),
                "line": settings.given[path].place.line if path in settings.given else None,
                "pattern": settings.given[path].pattern if path in settings.given else None,
            }
            for path in KEYS
        },
        "signers": [
            {"pattern": item.pattern, "signer": str(item), "line": item.place.line} for item in policy.trusted(model)
        ],
        "waivers": [
            {
                "pattern": item.pattern,
                "id": item.id,
                "path": item.path,
                "reason": item.reason,
                "expires": item.expires.isoformat(),
                "counts": item.counts(now),
                "line": item.place.line,
            }
            for item in policy.waivers
            if is_for(item.pattern, (model,))
        ],
        "rules": [
            {"id": item.id, "name": item.name, "cel": item.cel, "line": item.place.line} for item in policy.rules
        ],
        "decision": decision.to_dict() if decision is not None else None,
    }  # fmt: skip


def _lines(policy: Policy, model: str) -> list[str]:
    settings = policy.settings(model)
    rows = [(path, _value(settings.value(path)), _source(policy, settings, path)) for path in KEYS]
    rows.extend(
        ("signers", str(signer), f"{policy.file}:{signer.place.line} (for {signer.pattern})")
        for signer in policy.trusted(model)
    )
    if not policy.trusted(model):
        rows.append(("signers", "nobody is trusted for it", ""))
    now = clock.now()
    for waiver in policy.waivers:
        if is_for(waiver.pattern, (model,)):
            state = "until" if waiver.counts(now) else "expired with"
            about = f"{waiver.id}{f' of {waiver.path}' if waiver.path is not None else ''}"
            told = f"{about}, {state} {waiver.expires.isoformat()}: {waiver.reason}"
            rows.append(("waivers", told, f"{policy.file}:{waiver.place.line} (for {waiver.pattern})"))
    rows.extend(("rules", f"{rule.name}: {rule.cel}", f"{policy.file}:{rule.place.line}") for rule in policy.rules)
    wide = max(len(row[0]) for row in rows)
    return [f"{name:<{wide}}  {value}{f'   {source}' if source else ''}" for name, value, source in rows]


def _source(policy: Policy, settings: Settings, path: str) -> str:
    if path not in settings.given:
        return "" if settings.value(path) is None else "default"
    setting = settings.given[path]
    override = f" (models: {setting.pattern})" if setting.pattern is not None else ""
    return f"{policy.file}:{setting.place.line}{override}"


def _value(value: Value | None) -> str:
    if value is None:
        return "nothing is asked"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _json(value: Value | None) -> Json:
    return list(value) if isinstance(value, tuple) else value
