"""Settings of AlphaZero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval

SearchName = Literal["puct", "gumbel"]
FirstPlay = Literal["draw", "loss", "parent"]
PolicyHead = Literal["auto", "planes", "flat"]
Optimizer = Literal["momentum", "adam"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class AlphaZeroConfig:
    """Settings of AlphaZero: by default those of the paper, for chess.

    "2017" is Silver et al., arXiv 1712.01815; "2018" the article in Science 362:1140 with
    its pseudocode; "AlphaGo Zero" is Silver et al. 2017, Nature 550:354. For a game that
    two cores can learn, see `GumbelAlphaZeroConfig`.

    Attributes:
      num_filters: of every convolution in the tower. AlphaGo Zero, methods: 256.
      num_blocks: residual blocks. 2018, methods: 19.
      policy_filters: of the flat policy head's convolution. AlphaGo Zero, methods: 2.
      value_filters: of the value head's convolution. AlphaGo Zero, methods: 1.
      value_units: of the value head's hidden layer. AlphaGo Zero, methods: 256.
      policy_head: "planes", a plane of the board for each kind of move (2018: chess and
        shogi); "flat", one linear layer (2018: Go); "auto", planes where every
        action of the game belongs to a square.
      precision: of the tower's arithmetic; parameters stay float32.
      search: "puct", or "gumbel" (Danihelka et al. 2022).
      num_simulations: for each move. 2017: 800.
      max_num_slots: legal moves kept at a node, those of the largest prior; 0 for as many
        as the game can have, so that none is left out.
      exploration_init: c_init of PUCT. 2018, pseudocode: 1.25.
      exploration_base: c_base of PUCT. 2018, pseudocode: 19652.
      first_play: value of a move not tried yet: "draw" (AlphaGo Zero, methods: Q starts
        at 0, of values in [-1, 1]), "loss" (2018, pseudocode: 0, of values in [0, 1]), or
        "parent", the mean value of the position that it is played in.
      noise_alpha: of the Dirichlet noise on the root's prior. 2017: 0.3 chess, 0.15 shogi,
        0.03 Go; about 10 over the usual number of legal moves.
      noise_share: of the noise in that prior. 2018, pseudocode: 0.25.
      num_exploring_moves: opening moves of a self-play game that are drawn (by Gumbel:
        that have noise); later ones are the best. 2018, pseudocode: 30; 2017 draws all.
      num_random_moves: a self-play game opens with 0 to so many moves, as many as chance
        says, each drawn evenly among the legal ones; nothing is learned from these. 2017:
        none.
      num_considered_actions: tried at the root by Gumbel. Danihelka et al. 2022: 16.
      gumbel_value_scale: c_scale. Danihelka et al. 2022, appendix: 0.1 with values scaled
        by the least and the largest of a node.
      gumbel_scales_values: by the least and the largest of a node, which turns the noise
        of equal moves into a preference; or leaves values as they are, in [-1, 1].
      batch_size: positions in one update. 2017: 4096.
      optimizer: "momentum" (2017), or "adam".
      learning_rate: at the start. 2017: 0.2; for batches of 4096, and too much for small
        ones.
      momentum: 2018, pseudocode: 0.9.
      learning_rate_drops: updates after which the rate is a tenth of what it was. 2018,
        pseudocode: 100k, 300k, 500k of 700k.
      weight_cost: c of c |theta|^2. 2018, pseudocode: 1e-4.
      value_cost: of the squared error of the value. 2017, equation 1: 1.
      num_parallel_games: B, played side by side. 2018 had 5000 actors.
      moves_per_iteration: T, moves of each game between two rounds of updates. The paper's
        players and learner run at once, so it has none.
      samples_per_position: how often a position is learned from, on average. 700k updates
        of 4096 from 44M games of about 80 moves (2017, table S3) make about 0.8.
      window_games: games whose positions are drawn, uniformly; older ones are forgotten.
        2018, pseudocode: 1M.
      min_positions: played before the first update.
      use_symmetries: draw one of the game's equivalent views for each position. 2017: none.
    """

    num_filters: Annotated[int, Ge(1)] = 256
    num_blocks: Annotated[int, Ge(0)] = 19
    policy_filters: Annotated[int, Ge(1)] = 2
    value_filters: Annotated[int, Ge(1)] = 1
    value_units: Annotated[int, Ge(1)] = 256
    policy_head: PolicyHead = "auto"
    precision: Precision = "float32"
    search: SearchName = "puct"
    num_simulations: Annotated[int, Ge(1)] = 800
    max_num_slots: Annotated[int, Ge(0)] = 0
    exploration_init: Annotated[float, Ge(0)] = 1.25
    exploration_base: Annotated[float, Gt(0)] = 19652.0
    first_play: FirstPlay = "draw"
    noise_alpha: Annotated[float, Gt(0)] = 0.3
    noise_share: Annotated[float, Interval(ge=0, le=1)] = 0.25
    num_exploring_moves: Annotated[int, Ge(0)] = 30
    num_random_moves: Annotated[int, Ge(0)] = 0
    num_considered_actions: Annotated[int, Ge(1)] = 16
    gumbel_value_scale: Annotated[float, Gt(0)] = 0.1
    gumbel_scales_values: bool = True
    batch_size: Annotated[int, Ge(1)] = 4096
    optimizer: Optimizer = "momentum"
    learning_rate: Annotated[float, Gt(0)] = 0.2
    momentum: Annotated[float, Interval(ge=0, le=1)] = 0.9
    learning_rate_drops: tuple[int, ...] = (100_000, 300_000, 500_000)
    weight_cost: Annotated[float, Ge(0)] = 1e-4
    value_cost: Annotated[float, Ge(0)] = 1.0
    num_parallel_games: Annotated[int, Ge(1)] = 256
    moves_per_iteration: Annotated[int, Ge(1)] = 16
    samples_per_position: Annotated[float, Gt(0)] = 0.8
    window_games: Annotated[int, Ge(1)] = 1_000_000
    min_positions: Annotated[int, Ge(1)] = 4096
    use_symmetries: bool = False


@dataclass(frozen=True)
class GumbelAlphaZeroConfig(AlphaZeroConfig):
    """The settings for small games on a few cores; what differs from the paper's, and why.

    Gumbel's search improves the policy with any number of simulations, where PUCT needs
    many (Danihelka et al. 2022). The tower is small: on a CPU it is what a search costs.
    Its heads are wider than the paper's, which costs little and plays far better. Values
    are not scaled, every move has noise and random moves open the games, with which these
    stay varied; in chess, shogi and Go, where one move is worth little more than another,
    scale them, and set `gumbel_value_scale` to 0.1. The rest goes with small batches and
    few games: Adam, three samples of each position, a window of some thousand games, every
    mirror image used. `first_play` is for matches, in which the agent searches by PUCT.
    """

    num_filters: int = 32
    num_blocks: int = 3
    policy_filters: int = 16
    value_filters: int = 4
    value_units: int = 64
    search: SearchName = "gumbel"
    num_simulations: int = 32
    first_play: FirstPlay = "parent"
    noise_alpha: float = 1.0
    num_exploring_moves: int = 512
    num_random_moves: int = 8
    gumbel_value_scale: float = 0.2
    gumbel_scales_values: bool = False
    batch_size: int = 256
    optimizer: Optimizer = "adam"
    learning_rate: float = 2e-3
    learning_rate_drops: tuple[int, ...] = ()
    num_parallel_games: int = 128
    samples_per_position: float = 3.0
    window_games: int = 2_000
    min_positions: int = 4_096
    use_symmetries: bool = True
