"""One self-contained HTML page that shows and compares runs and studies.

    from tolman.launchers.report import write_report
    write_report([Path("runs/two_step__meta_rl__lstm__s1__20260101T120000Z")])

`folders` reads runs and studies, `series` puts runs side by side, `curves` works out the
numbers, `charts` turns them into pixels, and `page` fills the template `report.html`,
which only lays out what it is given.
"""

from tolman.launchers.report.page import write_report

__all__ = ["write_report"]
