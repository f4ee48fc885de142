"""`denali-py manual`: an instruction explained from its definition."""

from __future__ import annotations

import click

from ._terminal import Rejected


@click.command()
@click.argument("name", required=False)
def manual(name: str | None) -> None:
    """Explain the instruction NAME; without one, list all.

    \b
    denali-py manual divu
    denali-py manual | less
    """
    from ..isa.tools.manual import overview, page

    if name is None:
        click.echo(overview())
        return
    try:
        click.echo(page(name))
    except KeyError as error:
        raise Rejected(str(error.args[0])) from None
