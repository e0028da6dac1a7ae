"""The papers' experiments, end to end: one folder a paper, one module a study."""

# A module is imported when its study runs.
PAPERS = {
    "alphazero": ("tic_tac_toe", "connect_four", "go_9x9", "chess", "shogi"),
    "cores": ("recall",),
    "meta_rl": (
        "two_step",
        "independent_bandits",
        "dependent_bandits",
        "informative_arm",
        "restless_bandits",
        "harlow",
    ),
    "memo": ("associative_inference", "shortest_path", "babi"),
}
STUDIES = {
    f"{paper}/{name}": f"tolman.launchers.studies.{paper}.{name}"
    for paper, names in PAPERS.items()
    for name in names
}
