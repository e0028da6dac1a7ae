"""The report page: what it tells of a folder, and what it says of a broken one."""

import html
import json
import re
import resource
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tolman.launchers.report import write_report
from tolman.launchers.report.folders import READ, read_curves, read_run, read_study
from tolman.launchers.report.series import group_by_seed

# A PNG of one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def make_run(
    folder: Path,
    returns: Any = (1.0, 2.0, 3.0),
    config: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
) -> Path:
    folder.mkdir(parents=True)
    default = {"seed": 1, "agent": {"learning_rate": 0.5}, "run_dir": str(folder)}
    config = default if config is None else config
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "versions.json").write_text(json.dumps({"jax": "0.6.2"}))
    (folder / "status.json").write_text(json.dumps(status or {"state": "finished"}))
    rows = [
        {
            "env_steps": 1000 * i,
            "train/episode_return": r,
            "time/env_steps_per_second": 500.0,
        }
        for i, r in enumerate(returns, start=1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def make_study(folder: Path, measured: float = 0.4317, passed: bool = True) -> Path:
    (folder / "figures").mkdir(parents=True)
    result = {
        "study": "meta_rl/two_step",
        "title": "Two-step task",
        "paper": "Wang et al. 2016",
        "quick": True,
        "seed": 7,
        "checks": [
            {"claim": "stays", "paper": "0.4", "measured": measured, "bar": "> 0.2"}
            | {"passed": passed},
            {
                "claim": "regret",
                "paper": "2",
                "measured": 3.0,
                "bar": "< 4",
                "passed": True,
            },
        ],
        "seconds": 75.0,
        "settings": {"num_env_steps": 1000, "core": {"name": "lstm"}},
        "tables": [
            {
                "title": "Means",
                "columns": ["arm", "mean", "score"],
                "rows": [["x", 0.123456, "0.10 ± 0.02"]],
            }
        ],
        "notes": ["Shorter than the paper's."],
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "figures" / "stay.png").write_bytes(PIXEL)
    (folder / "figures" / "captions.json").write_text(json.dumps({"stay.png": "Figure 5b"}))
    return folder


def with_seed(seed: int, learning_rate: Any = 0.5) -> dict[str, Any]:
    return {"seed": seed, "agent": {"learning_rate": learning_rate}}


class Links(HTMLParser):
    """Collects every address a page would load, and checks that tags close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "xlink:href", "data", "action", "srcset")
        self.addresses += [value or "" for name, value in attrs if name in names]
        if tag not in ("meta", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(page: Path) -> str:
    text = re.sub(
        r"<script>.*</script>|<style>.*?</style>|<[^>]*>", " ", page.read_text(), flags=re.S
    )
    return " ".join(html.unescape(text).split())


def test_run_card_tells_the_numbers(tmp_path: Path) -> None:
    status = {"state": "failed", "reason": "loss/value is NaN"}
    page = write_report([make_run(tmp_path / "a", np.arange(1.0, 21.0), status=status)])
    assert page == tmp_path / "a" / "report.html"
    text = text_of(page)
    assert "✗ failed" in text
    assert "loss/value is NaN" in text
    # The last tenth of 1, ..., 20 is 19, 20. 20 000 steps at 500 a second take 40 s.
    assert "Final return 19.5 train" in text
    assert "Env steps 20,000" in text
    assert "Median env steps/s 500" in text
    assert "Wall time ≈ 40 s" in text
    assert "agent.learning_rate 0.5" in text
    assert "jax 0.6.2" in text


def test_wall_time_of_status_wins(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", status={"state": "finished", "seconds": 3725})
    assert "Wall time 1 h 2 min" in text_of(write_report([run]))


def test_run_without_metrics_has_a_card(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", status={"state": "running"})
    (run / "metrics.jsonl").unlink()
    text = text_of(write_report([run]))
    assert "running" in text and "Curves" not in text


def test_config_differences_come_first_and_the_rest_is_folded(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / n, config=with_seed(1, r)) for n, r in (("a", 0.5), ("b", 2))
    ]
    page = write_report(runs, tmp_path / "new" / "page.html").read_text()
    different, folded = re.search(
        r"Config differences</h2>(.*?)<details>(.*?)</details>", page, re.S
    ).groups()  # type: ignore[union-attr]
    assert re.findall(r">([^<>\s]+)</t[hd]>", different) == [
        *("Key", "a", "b", "agent.learning_rate", "0.5", "2")
    ]
    assert "1 in common" in folded and "seed" in folded
    assert "The same in all 2 runs." in page


def test_several_folders_default_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [make_run(tmp_path / "run"), make_study(tmp_path / "study")]
    monkeypatch.chdir(tmp_path)
    page = write_report(folders)
    assert page == Path("report.html")
    assert "1 run, 1 study" in text_of(page)


def test_what_was_trained_on_something_else_has_axes_of_its_own(tmp_path: Path) -> None:
    """Returns of 1 to 3 would be flat beside those of 100 to 300."""
    small, large = ({"seed": 1, "env": env, "agent": "a"} for env in ("coin", "race"))
    runs = [
        make_run(tmp_path / "one", (1.0, 2.0, 3.0), small),
        make_run(tmp_path / "two", (1.0, 3.0, 2.0), {**small, "core": "gru"}),
        make_run(tmp_path / "far", (100.0, 200.0, 300.0), large),
    ]
    page = write_report(runs, tmp_path / "r.html").read_text()
    charts = {
        re.sub("<[^>]*>", "", caption): body
        for caption, body in re.findall(
            r"<figcaption>(train/episode_return.*?)</figcaption>(.*?)</figure>", page, re.S
        )
    }
    coin = charts["train/episode_return on coin"]
    race = charts["train/episode_return on race"]
    assert len(charts) == 2
    tops = [float(re.search(r'data-y="\S+ (\S+)"', c)[1]) for c in (coin, race)]  # type: ignore[index]
    assert 3.0 <= tops[0] < 4.0 and 300.0 <= tops[1] < 400.0
    # Lines keep the numbers, and so the colours and switches, of the page.
    for body, numbers in ((coin, {"0", "1"}), (race, {"2"})):
        assert set(re.findall(r'<path class="line[^>]*data-series="(\d)"', body)) == numbers
        assert set(re.findall(r'<text class="end[^>]*data-series="(\d)"', body)) == numbers
    same = write_report(runs[:2], tmp_path / "same.html").read_text()
    assert "<figcaption>train/episode_return</figcaption>" in same


def test_titles_say_what_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", config={"agent": "dqn", "env": "coin", "seed": 1})
    bare, study = make_run(tmp_path / "b", config={}), make_study(tmp_path / "s")
    for folders, title in (
        ([run], "dqn on coin"),
        ([bare], "b"),
        ([study], "Two-step task"),
        ([run, bare, study], "2 runs, 1 study"),
    ):
        page = write_report(folders, tmp_path / "r.html").read_text()
        assert f"<h1>{title}</h1>" in page and f"<title>{title} &middot;" in page


def test_figures_keep_a_size_that_can_be_read(tmp_path: Path) -> None:
    """Panels side by side, or many, take the whole page; a narrow screen scrolls."""
    study = make_study(tmp_path / "s")
    for name, width, height in (("wide", 2000, 500), ("large", 1400, 1400)):
        size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        (study / "figures" / f"{name}.png").write_bytes(PIXEL[:16] + size + PIXEL[24:])
    (study / "figures" / "torn.png").write_bytes(PIXEL[:10])
    figures = {one.caption: one for one in read_study(study).figures}
    assert [(f.least_width, f.is_wide) for f in figures.values()] == [
        *(
            (630, True),
            (0, False),
            (0, False),
            (900, True),
        )  # Large; of one pixel; torn; wide.
    ]
    page = write_report([study]).read_text()
    assert page.count('<figure class="wide">') == 2
    assert 'style="min-width: 900px"' in page


def test_a_row_of_a_study_begins_with_its_name_and_breaks_no_number(tmp_path: Path) -> None:
    page = write_report([make_study(tmp_path / "s")]).read_text()
    assert (
        '<tr><th scope="row">x</th><td class="number">0.1235</td>'
        '<td class="number">0.10 ± 0.02</td></tr>'
    ) in page


def test_seeds_form_one_series_with_an_interval(tmp_path: Path) -> None:
    folders = [
        make_run(
            tmp_path / f"two_step__lstm__s{s}__20260301T10000{s}Z", [0, r], with_seed(s)
        )
        for s, r in ((1, 10.0), (2, 12.0), (3, 14.0))
    ]
    other = make_run(
        tmp_path / "two_step__gru__s1__20260301T110000Z", config=with_seed(1, 2)
    )
    page = write_report([*folders, other], tmp_path / "page.html")
    text = text_of(page)
    # Finals 10, 12, 14: mean 12, deviation 2, t(0.975, 2) = 4.3027, half = 4.968.
    assert "12 [7.032, 16.97]" in text
    assert "lstm \u00d7 3 seeds" in text and "gru \u00d7" not in text
    shown = re.findall(r'class="line (run|member|mean) ', page.read_text())
    # Two charts, each with three smoothings.
    assert shown.count("mean") == 6 and shown.count("member") == 18
    assert shown.count("run") == 6


def test_equal_seeds_or_no_config_are_not_a_sample(tmp_path: Path) -> None:
    runs = [read_run(make_run(tmp_path / n, config=with_seed(1))) for n in "ab"]
    assert [s.label for s in group_by_seed(runs)] == ["a", "b"]
    bare = [read_run(make_run(tmp_path / n, config={})) for n in "cd"]
    assert [len(s.runs) for s in group_by_seed(bare)] == [1, 1]


def test_same_folder_names_are_numbered(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / n / "run", config=with_seed(1, r)) for n, r in ("a1", "b2")]
    text = text_of(write_report(runs, tmp_path / "page.html"))
    assert "run (1)" in text and "run (2)" in text


def test_study_page(tmp_path: Path) -> None:
    page = write_report([make_study(tmp_path / "s", passed=False)])
    assert page == tmp_path / "s" / "report.html"
    text = text_of(page)
    assert "1 of 2 checks passed" in text
    assert "✗ fail stays 0.4 0.4317 > 0.2" in text
    assert "✓ pass regret 2 3 < 4" in text
    assert "seed 7 · 1 min 15 s" in text and "quick setting" in text
    assert "Figure 5b" in text and "x 0.1235" in text and "Shorter than" in text
    assert "core.name lstm" in text


def test_two_results_of_a_study_stand_side_by_side(tmp_path: Path) -> None:
    folders = [make_study(tmp_path / "s1"), make_study(tmp_path / "s2", 0.1, passed=False)]
    text = text_of(write_report(folders, tmp_path / "page.html"))
    assert "meta_rl/two_step: 2 results side by side Claim s1 s2" in text
    assert "stays 0.4317 ✓ pass 0.1 ✗ fail" in text


def test_page_is_self_contained_and_well_formed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "figures").mkdir()
    (run / "figures" / "maze.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    page = write_report([run, make_study(tmp_path / "study")], tmp_path / "page.html")
    links = Links(page.read_text())
    assert links.open == []
    assert len(links.addresses) == 2
    assert all(address.startswith("data:image/") for address in links.addresses)
    assert not re.search(r"https?:|@import|fetch\(|url\((?!#)", page.read_text())


def test_names_are_escaped(tmp_path: Path) -> None:
    name = "<img onerror=x>"
    runs = [
        make_run(tmp_path / n, config={"seed": 1, "env": n}, status={"state": n})
        for n in (name, "<script>")
    ]
    study = make_study(tmp_path / "study")
    result = json.loads((study / "result.json").read_text())
    result |= {"title": name, "notes": ["</script>" + name], "settings": {name: name}}
    result["checks"][0] |= {"claim": name, "measured": name}
    (study / "result.json").write_text(json.dumps(result))
    (study / "figures" / "captions.json").write_text(json.dumps({"stay.png": '"' + name}))
    text = write_report([*runs, study], tmp_path / "page.html").read_text()
    assert name not in text
    assert text.count("</script>") == 1 == text.count("<script>")
    assert text.count("&lt;img onerror=x&gt;") > 8
    assert 'alt="&#34;&lt;img' in text


def test_torn_last_line_is_ignored(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with (run / "metrics.jsonl").open("ab") as file:
        file.write('{"env_steps": 4000, "train/episode_return": 9, "é'.encode()[:-1])
    steps, values = read_curves(run / "metrics.jsonl")["train/episode_return"]
    np.testing.assert_array_equal(steps, [1000, 2000, 3000])
    np.testing.assert_array_equal(values, [1, 2, 3])


def test_resumed_run_counts_repeated_steps_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    rows = [(1, 10), (2, 20), (3, 30), (2, 21), (3, 31), (4, 41)]
    path.write_text("\n".join(json.dumps({"env_steps": s, "x": v}) for s, v in rows))
    steps, values = read_curves(path)["x"]
    # The row of step 2 of both parts stays: two rows of one step are allowed.
    np.testing.assert_array_equal(steps, [1, 2, 2, 3, 4])
    np.testing.assert_array_equal(values, [10, 20, 21, 31, 41])


def test_values_that_are_not_finite_are_told_and_not_drawn(tmp_path: Path) -> None:
    page = write_report([make_run(tmp_path / "a", [1.0, float("nan"), float("inf"), 2.0])])
    assert "2 logged values NaN or infinite" in text_of(page)
    assert not re.search(r' d="[^"]*(nan|inf)', page.read_text())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "metrics.jsonl",
            '{"env_steps": 1}\n{"env\n{"env_steps": 2}\n',
            "line 2: not JSON",
        ),
        (
            "metrics.jsonl",
            '{"loss/value": 1}\n{"env_steps": 2}\n',
            'line 1: no finite number "e',
        ),
        ("metrics.jsonl", "[]\n{}\n", "line 1: no finite number"),
        ("config.yaml", "a: [1\n", "config.yaml: is not YAML"),
        ("config.yaml", "- 1\n", "holds a list, not a YAML mapping"),
        ("status.json", "{", "status.json: not JSON"),
        ("result.json", "{}", 'no text "study"'),
        ("result.json", '{"study": "x", "checks": [1]}', '"checks" is not a list'),
    ],
)
def test_broken_file_is_named_in_one_line(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    run = make_run(tmp_path / "a")
    (run / file).write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        write_report([run])
    assert str(run / file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [*READ, "figures", "figures/chart.png"],
)
def test_no_link_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    run, secret = make_run(tmp_path / "run"), tmp_path / "secret"
    secret.mkdir()
    place = run / name
    place.parent.mkdir(exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(secret)
    with pytest.raises(ValueError, match="a report reads nothing from elsewhere") as caught:
        write_report([run])
    assert str(caught.value).startswith(f"{place}: is a link out of {run}")
    assert not (run / "report.html").exists()
    place.unlink()
    (run / "kept").mkdir()  # Within the folder a link is as good as a file.
    place.symlink_to(run / "kept")
    assert name == "result.json" or write_report([run]).is_file()


def test_a_page_takes_the_place_of_a_link(tmp_path: Path) -> None:
    run, precious = make_run(tmp_path / "run"), tmp_path / "precious"
    precious.write_text("mine")
    (run / "report.html").symlink_to(precious)
    link = tmp_path / "latest"
    link.symlink_to(run)  # The folder itself may be named by a link.
    page = write_report([link])
    assert precious.read_text() == "mine"
    assert not page.is_symlink() and text_of(page)
    write_report([run], out=precious)  # Unless the user names it.
    assert precious.read_text() == page.read_text()


def test_a_page_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page = write_report([run])
    before = page.read_text()
    (run / "status.json").write_text(json.dumps({"state": "crashed"}))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, most))
    try:
        with pytest.raises(ValueError, match=r"report\.html: cannot be written"):
            write_report([run])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert page.read_text() == before
    write_report([run])
    assert page.read_text() != before


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing: no such folder"):
        write_report([tmp_path / "missing"])
    with pytest.raises(ValueError, match=r"neither a run .* nor a study"):
        write_report([tmp_path])
    with pytest.raises(ValueError, match="at least one"):
        write_report([])
    with pytest.raises(ValueError, match="Name a file"):
        write_report([make_run(tmp_path / "a")], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        write_report([tmp_path / "a"], tmp_path / "file" / "report.html")
