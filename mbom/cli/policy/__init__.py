"""`mbom policy`: what a product allows of models."""

import click

from mbom.cli.policy.check import check
from mbom.cli.policy.explain import explain
from mbom.cli.policy.init import init


@click.group()
def policy() -> None:
    """Write, check and explain the policy of a product: mbom.yaml.

    \b
    Examples:
      mbom policy init --for gpt-oss-20b.mbom
      mbom policy check mbom.yaml gpt-oss-20b.mbom
      mbom policy explain mbom.yaml openai/gpt-oss-20b
    """


for command in (init, check, explain):
    policy.add_command(command)
