"""The papers' experiments, end to end: one folder a paper, one module a study."""

# Name to module; a module is imported when its study runs.
STUDIES = {
    f"meta_rl/{name}": f"tolman.launchers.studies.meta_rl.{name}"
    for name in (
        "two_step",
        "independent_bandits",
        "dependent_bandits",
        "informative_arm",
        "restless_bandits",
        "harlow",
    )
} | {
    f"alphazero/{name}": f"tolman.launchers.studies.alphazero.{name}"
    for name in ("tic_tac_toe", "connect_four", "go_9x9", "chess", "shogi")
}
