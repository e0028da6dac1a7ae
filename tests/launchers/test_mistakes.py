"""Every mistake of a user is told in one line: what it is, what was given, what may be.

A row is the words of a command, and what its one line must hold. Files that a row needs
stand before it: `name` and text, in the folder that the command runs in.
"""

import json
import sys
from importlib.util import find_spec

import pytest

from tolman.launchers.runs.loop import TrainingLoop
from tolman.launchers.settings.commands import parse_train
from tolman.launchers.settings.files import save_config

TRAIN = "train meta_rl --env two_step"
LONG = "a" * 300
BIG = 10**12

VERBS = [
    ("trian", "verb 'trian' is unknown (did you mean 'train'?)"),
    ("help", "verb 'help' is unknown: use one of list, check-env"),
    ("-v", "verb '-v' is unknown"),
    ("TRAIN", "verb 'TRAIN' is unknown"),
]
NAMES = [
    ("train", "AGENT is missing: tolman train AGENT --env ID"),
    ("train --env two_step meta_rl", "AGENT is missing"),
    ("train meta_rl", "--env ID is missing"),
    ("train meta_rl --env", "--env ID is missing"),
    ("train meta_rl --envv two_step", "flag --envv is unknown (did you mean '--env'?)"),
    ("train meta_rl --env=", "flag --env: must be followed by a value."),
    ("train meta_rl two_step", "--env ID is missing"),
    (f"{TRAIN} stray", "word 'stray' is one too many"),
    ("train meta-rl --env two_step", "agent 'meta-rl' is unknown (did you mean 'meta_rl'"),
    ("train meta_rl --env tow_step", "(did you mean 'two_step'?)"),
    ("train meta_rl --env CartPole-v2", "(did you mean 'CartPole-v"),
    ("train meta_rl --env ALE/Pon-v5", "(did you mean 'ALE/Pong-v5'?)"),
    ("train meta_rl --env ../x", "env '../x' is unknown: use one of bandit/easy"),
    ("train ppo --env navix", "env 'navix' is unknown (did you mean 'navix/...'?)"),
    ("train ppo --env Navix-Empty-5x5-v0", "(did you mean 'navix/...'?). Where a package"),
    ("train ppo --env popgym-arcade/SkittlesEasy", "(did you mean 'popgym_arcade/...'?)"),
    ("train meta_rl --env tic_tac_toe", "env 'tic_tac_toe' is unknown"),
    ("train alphazero --env two_step", "game 'two_step' is unknown: use one of"),
    ("train alphazero --env tic_tac_toe --core gru", "takes none. Leave --core out."),
    ("train memo --env two_step", "source 'two_step' is unknown: use one of"),
    ("train memo --env babi --env.source.folder none", "Set TOLMAN_DATA to the folder"),
    (
        "train memo --env associative_inference --agent.training.batch-size 2000000000",
        "batch_size=2000000000: the examples of an update would take",
    ),
    ("train a_b:c --env two_step", "importing a_b failed (ModuleNotFoundError"),
    ("train os:path --env two_step", "agent 'os:path': is a module; must be a class"),
    ("train meta_rl --env os:_exit", "env '_exit': is a function of Python's own. Name"),
    ("train meta_rl --env os:getcwd", "env 'os:getcwd': is a str; must be an on-device"),
    (f"{TRAIN} --core", "flag --core: must be followed by a value"),
    (f"{TRAIN} --core lstn", "core 'lstn' is unknown (did you mean 'lstm'?)"),
    (f"{TRAIN} --core MemO", "core 'MemO' is unknown (did you mean 'memo'?)"),
    (f"{TRAIN} --launcher rya", "launcher='rya': must be one of local, on-device, ray"),
    (f"{TRAIN} --launcher", "flag --launcher: must be followed by a value"),
    (
        "train meta_rl --env CartPole-v1 --launcher on-device",
        "lives on the host: launcher 'on-device' cannot run it. Set --launcher local.",
    ),
]
VALUES = [
    ("--cor lstm", "flag --cor is unknown (did you mean '--co"),
    ("--agent x", "flag --agent is unknown"),
    ("--agent.learning-rte 1", "(did you mean '--agent.learning-rate'?)"),
    ("--core.learning-rate 1", "(did you mean '--agent.learning-rate'?)"),
    ("--env.zzz 1", "flag --env.zzz is unknown"),
    ("-x", "flag -x is unknown"),
    ("--seed -1", "seed=-1: must be in [0, 4294967296). Set --seed."),
    ("--seed 4294967296", "seed=4294967296: must be in [0, 4294967296)"),
    ("--seed 1.5", "seed='1.5': must be a whole number. Set --seed."),
    ("--seed 1e3", "seed='1e3': must be a whole number"),
    ("--seed 0x10", "seed='0x10': must be a whole number"),
    ("--seed ²", "seed='²': must be a whole number"),
    ("--seed None", "seed='None': must be a whole number"),
    ("--seed=", "flag --seed: must be followed by a value."),
    ("--config=", "flag --config: must be followed by a value."),
    ("--eval-every 50 --eval-episodes 0", "eval_episodes=0: must be at least 1 with"),
    ("--run-dir=", "flag --run-dir: must be followed by a value."),
    ("--agent.reads=", "flag --agent.reads: must be followed by a value."),
    (f"--seed {'9' * 5000}", "seed=...: must be a number of fewer digits"),
    ("--seed 1 --seed -2", "seed=-2: must be in"),
    ("--num-env-steps 0", "num_env_steps=0: must be at least 1"),
    ("--num-env-steps 1e6", "num_env_steps='1e6': must be a whole number"),
    ("--num-env-steps inf", "num_env_steps='inf': must be a whole number"),
    (f"--num-env-steps {10**20}", "must be at most 2147"),
    ("--checkpoint-interval 0", "checkpoint_interval=0: must be at least 1"),
    ("--checkpoint-interval x", "checkpoint_interval='x': must be a whole number. Set"),
    ("--eval-episodes x", "eval_episodes='x': must be a whole number. Set --eval-epi"),
    ("--log-interval -1", "log_interval=-1: must be at least 1"),
    ("--num-checkpoints-to-keep 0", "num_checkpoints_to_keep=0: must be at least 1"),
    ("--if-exists resum", "if_exists='resum': must be one of fail, new, resume (did you"),
    ("--on-env-error ignore", "on_env_error='ignore': must be one of fail, restart"),
    ("--env-timeout inf", "env_timeout=inf: must be a finite number"),
    ("--env-timeout nan", "env_timeout=nan: must be a finite number"),
    ("--env-timeout 1e400", "env_timeout=inf: must be a finite number"),
    ("--env-timeout 0", "env_timeout=0.0: must be in (0, 1000000000.0]"),
    ("--num-devices 99", "num_devices=99: there are"),
    ("--num-devices -1", "num_devices=-1: must be at least 0"),
    ("--num-envs 4", "Set --agent.batch-size in its place."),
    (f"--num-envs {BIG}", "Set --agent.batch-size in its place."),
    ("--launcher local --num-devices 2", "Leave --num-devices out."),
    ("--actors 3", "launcher 'on-device' has no such setting. Leave --actors out."),
    ("--address auto", "address=auto: launcher 'on-device' has no such setting."),
    ("--replay-shards 2", "Leave --replay-shards out."),
    ("--learner-gpus 2", "learner_gpus=2: must be in [0, 1]"),
    ("--eval-episodes 5", "Leave --eval-episodes out."),
    ("--loggers wandbb", "logger 'wandbb' is unknown (did you mean 'wandb'"),
    ("--loggers os:getcwd", "has no write(); it needs write(dict) and close()."),
    ("--loggers :", "logger ':': must be spelled module:attribute."),
    ("--init-from nowhere@3", "nowhere: no such run folder."),
    ("--init-from .", ".: is no run folder, it has no config.yaml."),
    ("--fresh x", "fresh: says what not to take. Set --init-from RUN, too."),
    ("--run-dir /proc/x", "/proc/x: cannot be made (No such file or directory). Choose"),
    ("--run-dir /dev/null", "/dev/null: exists and holds no run. Choose another"),
    ("--run-dir /dev/null/x", "/dev/null/x: cannot be made"),
    (f"--run-dir {LONG}", f"{LONG}: File name too long."),
    ("--config", "flag --config: must be followed by a value"),
    ("--config no.yaml", "no.yaml: no such file."),
    ("--config .", ".: is a folder. Give a YAML file."),
    ("--agent.torso mpl", "torso='mpl': must be one of"),
    ("--agent.torso mpl", "(did you mean 'mlp'"),
    ("--agent.optimizer sgd", "optimizer='sgd': must be one of adam, rmsprop"),
    ("--agent.learning-rate inf", "learning_rate=inf: must be a finite number"),
    ("--agent.learning-rate -1", "learning_rate=-1.0: must be above 0"),
    ("--agent.discount 1.5", "discount=1.5: must be in [0, 1]"),
    ("--agent.discount a:b", "discount='a:b': must be a number. Set --agent.discount."),
    ("--agent.reads nothing", "the observation has no part 'nothing'"),
    ("--agent.image-axes zzz", "image_axes='zzz': must be one of"),
    ("--agent.use-previous-action maybe", "word 'maybe' is one too many"),
    ("--no-agent.use-previous-action", "(did you mean '--agent.no-use-previous-action'?)"),
    ("--agent.auxiliary-tasks x_y:z", "'x_y:z': not found (ModuleNotF"),
    ("--env.num-trials 0", "num_trials=0: must be at least 1. Set --env.num-trials."),
    ("--env.common-probability 2", "common_probability=2.0: must be in [0, 1]"),
    ("--core.hidden-size 0", "hidden_size=0: must be at least 1"),
    ("--core.hidden-size", "flag --core.hidden-size: must be followed by a value"),
    ("--core.hidden-size 1,2", "hidden_size='1,2': must be a whole number"),
    ("--core.hidden-size 3 4", "word '4' is one too many"),
    # Sizes that no memory holds are refused before memory or time goes.
    ("--agent.batch-size 0", "batch_size=0: must be at least 1"),
    (f"--agent.batch-size {BIG}", "batch_size=1000000000000, unroll_length=101: the rows"),
    ("--agent.batch-size 1000000000", "would take"),
    (f"--agent.unroll-length {BIG}", "unroll_length=1000000000000: the rows of an update"),
    ("--core.hidden-size 1000000000", "the actors' memories would take"),
    ("--core.hidden-size 300000", "parameters and the optimizer's state would take"),
    (f"--core.hidden-size {10 * BIG}", "the actors' memories would take"),
    (f"--env.num-trials {BIG}", "a number is too large"),
]
TURNS = "train ewc --tasks conflict/catch conflict/dodge --steps-per-task 1000"
IN_TURN = [
    ("train ewc --tasks conflict/catch conflict/dodge", "steps_per_task is missing"),
    ("train ewc --tasks --steps-per-task 9", "flag --tasks: must be followed by a value."),
    ("train ewc --steps-per-task 9 --tasks", "flag --tasks: must be followed by a value."),
    (f"{TURNS} --num-env-steps 77", "must be 2000, 2 tasks of 1000. Leave --num-env-st"),
    (f"{TURNS} --env conflict/dodge", "must be the first of the tasks, 'conflict/catch'"),
    (f"{TURNS} --eval-every 100", "Set --log-interval in its place."),
    (f"{TURNS} --labels maybe", "labels='maybe': must be one of given, inferred, none"),
    (f"{TURNS} --labels inferred", "Leave --labels out."),
    pytest.param(
        f"{TURNS} --launcher ray --labels inferred",
        "takes screens, uint8 [height, width,",
        marks=pytest.mark.skipif(find_spec("reverb") is None, reason="needs Reverb"),
    ),
    (f"{TURNS} --agent.max-tasks 1", "must be at least 2, for conflict/catch, conflict"),
    (f"{TURNS} --agent.max-tasks {BIG}", "parameters and the optimizer's state would ta"),
    (f"{TURNS.replace('dodge', 'doge')}", "(did you mean 'conflict/dodge'?)"),
    (f"{TURNS.replace('conflict/dodge', 'two_step')}", "must have the same."),
    (f"{TURNS.replace('conflict/dodge', 'CartPole-v1')}", "leave it out of --tasks."),
    ("train ewc --env conflict/catch --steps-per-task 9", "there are no tasks. Set --ta"),
    ("train ewc --env conflict/catch --preset smal", "(did you mean 'small'?). Set --pr"),
    ("train alphazero --env hex --preset paper", "has none. Leave --preset out."),
    ("train alphazero --tasks hex go --steps-per-task 9", "does not act in environments"),
]
NAVIGATION = "train navigation --env maze/tiny"
MAZES = [
    (
        NAVIGATION,
        "no field 'depth_classes'; it has rgb, velocity. Set --env.fields rgb velocity "
        "depth_classes, choose another --env, or set --agent.depth-2-cost 0.",
    ),
    (f"{NAVIGATION} --env.fields pose", "Set --env.fields pose rgb, or choose another --"),
    ("train navigation --env maze/grid", "it has no named fields. Choose another --env."),
    (f"{NAVIGATION} --agent.reads rgb", "must be left out: wiring and is_depth_input say"),
    (f"{NAVIGATION} --agent.no-use-previous-reward", "must be left out: both enter with"),
    (f"{NAVIGATION} --agent.no-use-previous-action", "must be left out: both enter with"),
]
NEWER = [
    ("train ppo --env Pendulum-v1 --agent.clip-range 0", "clip_range=0.0: must be above 0"),
    (
        "train ppo --env Pendulum-v1 --agent.num-minibatches 7",
        "a divisor of batch_size = 8",
    ),
    ("train ppo --env Pendulum-v1 --agent.action-bounds sq", "must be one of clip, squash"),
    ("train ppo --env Pendulum-v1 --agent.observation-clip nan", "must be a finite number"),
    ("train dqn --env Pendulum-v1", "needs numbered actions (a DiscreteArray). Train ppo"),
    ("train dqn --env cartpole --agent.burn-in 99", "must be at least burn_in + n_step"),
    ("train dqn --env cartpole --agent.capacity 9", "must be at least min_size"),
    (
        "train meta_rl --env two_step --core :",
        "core ':': must be spelled module:attribute.",
    ),
    (
        "study synth2/augmentation --generator-pairs 10",
        "generator_pairs=10: must be 0 or n",
    ),
    (f"study synth2/augmentation --num-human {BIG}", "must be in [0, 1000000]"),
    ("study synth2/augmentation --difficulty hard", "must be one of crowds, groups, pairs"),
    ("study ewc/permuted_mnist --data mnst", "(did you mean 'mnist'?)"),
    ("study ewc/sequential_atari --games Pongg", "(did you mean 'Pong'?)"),
    ("study alphazero/chess --num-games 3", "must be at least 0 and a multiple of 2"),
    ("study llm_probe/copying --model x", "flag --model is unknown to study 'llm_probe/co"),
    ("probe", "MODEL is missing: tolman probe MODEL"),
    ("probe nowhere", "MODEL 'nowhere': no such file or folder. Give a folder or file of"),
    ("probe .", "MODEL '.': must hold one checkpoint of llama2.c, a .bin file; has none."),
    ("probe http://", "MODEL 'http://': is no address. Give one such as"),
    ("probe http://127.0.0.1:99999/v1", "is no address."),
    ("probe http://[::1/v1", "is no address."),
    ("probe http://127.0.0.1:9 --timeout-s 0", "timeout_s=0.0: must be above 0."),
    ("probe . --study llm_probe/nope", "(did you mean 'llm_probe/"),
    ("probe . --dtype float8", "must be one of bfloat16, float16, float32"),
]
SIZES = [
    (f"--agent.num-parallel-games {BIG}", "num_parallel_games=1000000000000, num_simul"),
    (f"--agent.num-simulations {BIG}", "num_simulations=1000000000000: the search trees"),
]
RUNS = [
    ("resume", "RUN is missing: tolman resume RUN"),
    ("resume no_run", "no_run: no such run folder."),
    ("resume .", ".: is no run folder, it has no config.yaml."),
    ("resume a b", "word 'b' is one too many"),
    ("resume a --x", "flag --x is unknown"),
    (f"resume {LONG}", f"{LONG}: File name too long."),
    ("eval", "RUN is missing: tolman eval RUN"),
    ("eval no_run", "no_run: no such run folder."),
    ("eval x --num-episode 3", "(did you mean '--num-episodes'?)"),
    ("eval x --num-episodes", "flag --num-episodes: must be followed by a value"),
    ("eval x --num-episodes 1", "num_episodes=1: must be in [2, 1000000]"),
    (f"eval x --num-episodes {BIG}", "must be in [2, 1000000]. Set --num-episodes."),
    ("eval x --num-episodes 2.5", "num_episodes='2.5': must be a whole number"),
    ("eval x --seed much", "seed='much': must be a whole number. Set --seed."),
    ("eval x --seed -1", "seed=-1: must lie in [0, 2**32). Set --seed."),
    ("eval x --checkpoint last", "checkpoint='last': must be a whole number. Set --che"),
    ("eval x --trust 3", "word '3' is one too many"),
    ("play", "RUN is missing: tolman play RUN"),
    ("play no_run", "no_run: no such run folder."),
    (
        "play doom/static_9",
        "no such maze (did you mean 'doom/static_2'?). Use one o",
    ),
    ("play maze/static_9", "env 'maze/static_9' is unknown (did you mean 'maze/st"),
    ("play maze/tiny --seed -1", "seed=-1: must lie in [0, 2**32). Set --seed."),
    ("play maze/tiny --env.layout x", "flag --env.layout is unknown"),
    ("play maze/tiny --env.image-siz 9", "(did you mean '--env.image-size'?)"),
    ("play maze/tiny --env.image-size 7", "image_size=7: must be in [8, 1024]. Set --env"),
    ("play maze/layout --env.layout none.txt", "layout='none.txt': is neither a file nor"),
    ("play maze/tiny --protocol uci", "game 'maze/tiny' is unknown"),
    ("play x --num-episodes 0", "num_episodes=0: must be in [1, 1000000]"),
    ("play x --fps x", "fps='x': must be a number. Set --fps."),
    ("play x --player random", "Leave --player out, or set --protocol."),
    ("play chess --protocol", "flag --protocol: must be followed by a value"),
    ("play chess --protocol xboard", "protocol 'xboard': must be one of uci, usi, gtp."),
    ("play chess --protocol uci", "there is no run of chess with a checkpoint in runs/."),
    ("play nochess --protocol uci --player random", "(did you mean 'chess'?)"),
    ("play tic_tac_toe --protocol uci --player random", "use gtp. Set --protocol."),
    ("play shogi --protocol uci --player random", "use usi or gtp. Set --protocol."),
    ("play chess --protocol uci --player a@last", "a: no such run folder."),
    ("play chess --protocol uci --player random --fps 3", "Leave --fps out, or --protocol"),
    # Nobody says "uci" here: the input has ended.
    ("play chess --protocol uci --player nope", "player 'nope' is unknown: must be one"),
    ("play chess --protocol uci --player mcts:x", "must end in a whole number below 1e9"),
    ("play chess --protocol uci --player uci:false", "player 'uci:false': does not start"),
    ("play go_9x9 --protocol gtp --player nope", "player 'nope' is unknown"),
    ("play go_9x9 --protocol gtp --player gtp:true", "player 'gtp:true': does not start"),
]
STUDIES = [
    ("study", "NAME is missing: tolman study NAME"),
    ("study meta_rl/two_stp", "study 'meta_rl/two_stp' is unknown (did you mean 'meta_rl"),
    ("study meta_rl/two_step --seed -1", "seed=-1: must lie in [0, 2**32)"),
    ("study meta_rl/two_step --seed x", "seed='x': must be a whole number"),
    ("study meta_rl/two_step --x 1", "flag --x is unknown"),
    ("study meta_rl/two_step extra", "word 'extra' is one too many"),
    ("study meta_rl/two_step --out /proc/x", "/proc/x: cannot be made"),
    ("study cores/recall --core gru", "flag --core is unknown to study 'cores/recall'"),
    ("study os:getcwd", "study 'os:getcwd'"),
    ("bench", "NAME is missing: tolman bench NAME"),
    ("bench on_devic", "bench 'on_devic' is unknown (did you mean 'on_device'?)"),
    ("bench cores --jsn", "(did you mean '--json'?)"),
    ("bench os:getcwd", "bench 'os:getcwd': has no run() that returns rows."),
    ("list core", "group 'core' is unknown (did you mean 'cores'?)"),
    ("list --x", "flag --x is unknown"),
    ("doctor now", "word 'now' is one too many"),
    ("check-env", "ENV is missing: tolman check-env ENV"),
    ("check-env two_step --env.colour red", "flag --env.colour is unknown"),
    ("check-env CartPole-v1 --env.nope 3", "must be one of --env.keywords, --env.log-info"),
    ("check-env CartPole-v1 --env.max-steps 3", "mean '--env.max-episode-steps'?)"),
    ("check-env maze/tiny --env.action-repeat 0", "must be at least 1"),
    ("check-env maze/tiny --env.fields smell", "smell"),
    ("check-env maze/tiny --env.image-size 20000", "must be in [8, 1024]"),
    ("check-env maze/layout --env.layout none.txt", "is neither a file nor one of"),
    ("check-env maze/layout --env.layout maze/static_1", "(did you mean 'static_1'?)"),
    ("check-env maze/grid --env.layout generated", "must be of one maze; generated ones"),
    ("check-env connect_four --env.size 3", "flag --env.size is unknown"),
    ("check-env no_module:Env", "importing no_module failed"),
    ("check-env NoSuchGame-v0", "env 'NoSuchGame-v0'"),
    ("check-env unittest:TestCase.boom", "TestCase.boom"),
    ("check-env asyncio:get_running_loop", "making it raised RuntimeError"),
    ("check-core", "CORE is missing: tolman check-core CORE"),
    ("check-core lstn", "core 'lstn' is unknown (did you mean 'lstm'?)"),
    ("check-core lstm --core.colour red", "flag --core.colour is unknown"),
    ("check-core lstm --core.hidden-size 0", "must be at least 1"),
    ("check-core lstm --long-run 0", "must be at least 1"),
    ("check-core lstm --reference os", "must be spelled module:attribute"),
    ("report", "FOLDERS are missing: tolman report RUN [RUN ...]."),
    ("report nope", "nope: no such folder."),
    ("sweep", "AGENT is missing: tolman sweep AGENT --env ID"),
    ("sweep meta_rl --seeds 2", "--env ID is missing"),
    (f"sweep {TRAIN[6:]} --seeds 4..1", "seeds='4..1': must be a number of seeds (5), a"),
    (f"sweep {TRAIN[6:]} --seeds 1,1", "or a list of different ones (3,7). Set --seeds."),
    (f"sweep {TRAIN[6:]} --jobs 0", "jobs='0': must be a number of at least 1."),
    (f"sweep {TRAIN[6:]} --seed 3", "--seed: a sweep sets it for each run. Leave it out."),
    (f"sweep {TRAIN[6:]} --seeds=", "flag --seeds: must be followed by a value."),
    (f"sweep {TRAIN[6:]} --agent.discount 0.9,,0.8", "'0.9,,0.8': must list different va"),
    (f"sweep {TRAIN[6:]} --agent.discount 0.9,x", "discount='x': must be a number."),
    (f"sweep {TRAIN[6:]} --sweep-dir=", "flag --sweep-dir: must be followed by a value."),
    (f"sweep {TRAIN[6:]} --sweep-dir /proc/x", "/proc/x: cannot be made"),
    (f"sweep {TRAIN[6:]} --agent.learning-rate 1e-3,-1", "learning_rate=-1.0: must be abo"),
    (f"sweep {TRAIN[6:]} --core gtrxl --core.num-heads 4,7", "must be a multiple of num_"),
    ("sweep --sweep-dir nowhere", "nowhere: holds no sweep to go on with."),
    ("report x --out=", "flag --out: must be followed by a value."),
    ("report --out", "flag --out: must be followed by a value"),
    ("report .", ".: neither a run (metrics.jsonl"),
]
MATCHES = [
    ("tournament", "GAME is missing"),
    ("tournament chess random", "PLAYERS: must be 2 or more, not 1"),
    ("tournament nochess random greedy", "game 'nochess' is unknown (did you mean"),
    ("tournament hex random random", "must be all different: tell equal engines apart"),
    ("tournament hex random nope", "player 'nope' is unknown: must be one of"),
    ("tournament hex random mcts:0", "num_simulations=0 of mcts: must be at least 1"),
    ("tournament connect_four random solver:0", "num_nodes=0 of solver: must be at least"),
    ("tournament hex random mcts:-1", "player 'mcts:-1': must end in a whole number"),
    (f"tournament hex random mcts:{BIG}", "must end in a whole number below 1e9"),
    ("tournament hex random minimax", "must end in a whole number below 1e9, such as"),
    ("tournament hex random greedy:3", "greedy stands alone."),
    ("tournament hex random perfect --num-games 2", "plays tic_tac_toe only, not hex"),
    ("tournament hex random a@last", "a: no such run folder."),
    ("tournament hex random os:getcwd", "player 'os:getcwd': is a str; needs a name"),
    ("tournament hex random asyncio:get_running_loop", "calling it raised Runtime"),
    ("tournament hex random greedy --num-games 3", "num_games=3: must be"),
    (f"tournament hex random greedy --num-games {BIG}", "must be in [2, 1000000]"),
    (f"tournament hex random greedy --opening-moves {BIG}", "must be in [0, 1000]"),
    ("tournament hex random greedy --seed -1", "seed=-1: must be in [0, 4294967296)"),
    ("tournament hex random greedy --anchor x", "must be one of random, greedy. Set"),
    ("tournament hex random greedy --sprt 5", "sprt='5': must be 2 numbers. Set --sprt."),
    ("tournament hex random greedy --sprt 5 0", "two differences, the first below the"),
    ("tournament hex random greedy --sprt nan 5", "must be a finite number in every item"),
    ("tournament hex random greedy --out /proc/x", "/proc/x: cannot be made"),
    (f"tournament hex random greedy --out {LONG}", "File name too long."),
    ("tournament chess random uci:true", "player 'uci:true': does not start: the process"),
    ("tournament chess random uci:/no", "engine '/no': cannot be started"),
    ("tournament chess random uci:cat?timeout=0.5", "does not start: no answer in time"),
    ("tournament chess random uci:true?nodes=x", "nodes=x is no number."),
    ("tournament chess random uci:true?zzz=1", "key 'zzz' is unknown: must be one of"),
    ("tournament chess random uci:true?timeout=inf", "timeout_seconds=inf: must be a fin"),
    ("tournament go_9x9 random gtp:true", "player 'gtp:true': does not start: the process"),
    ("tournament shogi random usi:true", "player 'usi:true': does not start: the process"),
]
CONFIGS = [
    ("core.hiden_size: 3", "run.yaml: key 'core.hiden_size' is unknown (did you mean"),
    ("core:\n  hidden_size: 3", "run.yaml: key 'core' holds a mapping; write `core.KEY"),
    ("num_env_steps: lots", "num_env_steps='lots': must be a whole number"),
    ("num_env_steps: 1.0e+6", "num_env_steps=1000000.0: must be a whole number"),
    ("seed: true", "seed=True: must be a whole number, not of type bool"),
    ("seed: null", "seed=None: must be a whole number"),
    ("seed: .nan", "seed=nan: must be a finite number"),
    ("seed: 2020-01-01", "must be a whole number, not of type date"),
    ("seed: 2020-13-01", "run.yaml: is not YAML (month must be in 1..12)"),
    (f"seed: {'9' * 5000}", "run.yaml: is not YAML (Exceeds the limit"),
    ("env_timeout: 1e400", "env_timeout='1e400': must be a finite number"),
    ("agent.torso: mpl", "(did you mean 'mlp'"),
    ("agent.learning_rate: fast", "agent.learning_rate='fast': must be a number"),
    ("agent.use_previous_action: 1", "must be True or False"),
    ("loggers: wandb", "loggers='wandb': must be a tuple"),
    ("loggers: [1]", "must be text, not of type int in every item"),
    ("seed: 1\nenv: a\nseed: 2", "holds key 'seed' twice"),
    ("a: &a [1]\nb: [*a, *a]", "holds an alias"),
    ("a: [", "run.yaml: is not YAML (while parsing a flow node"),
    ("[" * 500, "run.yaml: is not YAML"),
    ("a: 1\n---\nb: 2", "run.yaml: is not YAML (expected a single document"),
    ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ("- 1", "run.yaml: must hold `key: value` lines."),
    ("1: 2", "key 1 is unknown"),
    ("agent: 3", "run.yaml: agent=3: must be text"),
]
FILES = [
    ("config.yaml", "agent: alphazero\nenv: hex", "play run", "--player run@last"),
    ("config.yaml", "agent: memo\nenv: babi_style", "play run", "tolman eval run"),
    ("config.yaml", "", "resume run", "has no key 'agent', which every run needs"),
    ("config.yaml", "agent: meta_rl\nenv: os:getcwd", "eval run", "add --trust."),
    ("config.yaml", "agent: nope\nenv: two_step", "eval run", "agent 'nope' is unknown"),
    ("config.yaml", "a: [", "report run", "run/config.yaml: is not YAML"),
    ("config.yaml", "a: &x [1]\nb: [*x]", "report run", "config.yaml: holds an alias"),
    ("config.yaml", "a: &x [1]\nb: [*x]", "eval run", "run/config.yaml: holds an alias"),
    ("status.json", "[" * 200000, "report run", "run/status.json: not JSON"),
    ("metrics.jsonl", "9" * 5000 + "\n{}", "report run", "metrics.jsonl line 1: not JSON"),
    ("config.yaml", "3", "report run", "run/config.yaml: holds a int, not a YAML mapping"),
    ("config.yaml", "a: [", "resume run", "run/config.yaml: is not YAML"),
    ("status.json", "{", "report run", "run/status.json: not JSON"),
    ("status.json", "[]", "report run", "run/status.json: holds a list, not a JSON"),
    ("versions.json", "{", "report run", "run/versions.json: not JSON"),
    ("metrics.jsonl", "{\n{}", "report run", "run/metrics.jsonl line 1: not JSON"),
    ("metrics.jsonl", "3", "report run", "line 1: no finite number"),
    ("metrics.jsonl", '{"a/b": 1}', "report run", 'no finite number "env_steps"'),
    ("metrics.jsonl", '{"env_steps": 1e400, "a": 1}', "report run", "no finite number"),
    ("metrics.jsonl", f'{{"env_steps": 1{"0" * 400}}}', "report run", "no finite number"),
    ("metrics.jsonl", "ÿþ\nÿ", "report run", "run/metrics.jsonl line 1: not JSON"),
    ("figures/captions.json", "[", "report run", "captions.json: not JSON"),
    ("lock/x", "", "resume run", "run: no folder that can be written to"),
    ("metrics.jsonl/x", "", "resume run", "run/metrics.jsonl: Is a directory."),
    ("log.txt/x", "", "resume run", "log.txt: Is a directory."),
    ("checkpoints/²/x", "", "eval run", "run/checkpoints: no checkpoint."),
    ("checkpoints/3/state.npz", "", "eval run", "every checkpoint is broken"),
    ("checkpoints/3/state.npz/x", "", "eval run", "every checkpoint is broken"),
    ("checkpoints", "", "eval run", "run/checkpoints: no checkpoint."),
    ("checkpoints/3/x", "", "eval run --checkpoint 7", "no checkpoint 7; there are [3]."),
    ("sweep.json", "{", "sweep --sweep-dir run", "is no JSON of a sweep (Expecting"),
    ("sweep.json", "[]", "sweep --sweep-dir run", "Choose another --sweep-dir."),
    ("config.json", "{", "probe run", "run/config.json: is not JSON (Expecting"),
    ("config.json", '{"architectures": []}', "probe run", "Give hf:run."),
    ("a.bin", "abcd", "probe run/a.bin --tokenizer run/a.bin", "no header of llama2.c."),
    ("result.json", "{}", "report run", 'no text "study"'),
    ("result.json", "[", "report run", "run/result.json: not JSON"),
    ("result.json", '{"study": "a", "checks": 3}', "report run", '"checks" is not a list'),
    (
        "result.json",
        json.dumps({"study": "a", "tables": [{"columns": 3, "rows": [1]}]}),
        "report run",
        '"columns" or a row of a table is not a list.',
    ),
    ("x", "", "report run --out run", "run: a folder. Name a file"),
    ("status.json", "{}", "report run --out run/status.json/y.html", "cannot be written"),
    ("status.json", "{}", f"report run --out {LONG}", "File name too long."),
    ("study.json", "{", "study meta_rl/two_step --out run", "run/study.json: is not JSON"),
    ("study.json", "[]", "study meta_rl/two_step --out run", "--out run: holds [], not"),
    ("x", "", "study meta_rl/two_step --out run", "--out run: exists and holds no study."),
    ("x", "", f"{TRAIN} --run-dir run/x", "run/x: exists and holds no run."),
    ("tournament.json", "{", "tournament hex random greedy --out run", "is no JSON of a"),
    ("tournament.json", "3", "tournament hex random greedy --out run", "is no JSON of a"),
    (
        "tournament.json",
        '{"game": "go"}',
        "tournament hex random greedy --out run",
        "holds a tournament with game=go, not hex.",
    ),
]
CODE = [
    ("import sys; sys.exit(3)", "importing theirs failed"),
    ("raise KeyboardInterrupt", "interrupted."),
    ("def f(:", "importing theirs failed (SyntaxError"),
    ("1 / 0", "importing theirs failed (ZeroDivisionError"),
    ("Env = 3", "env 'theirs:Env': is a int; must be a class"),
    ("class Env: pass", "is a Env; must be an on-device environment"),
    ("def Env(): raise SystemExit(4)", "/theirs.py:1); must be free of errors"),
    ("def Env(): raise KeyError(3)", "raised KeyError: 3 (/"),
    ("def Env(): return 3", "is a int; must be an on-device environment"),
    ("def Env(x): return 3", "its parameter 'x' has no type and no default"),
]


def short(value):
    return str(value)[:60]


def one_line(tolman, words, message):
    """Runs a command that must fail so."""
    code, out, errors = tolman(*words.split())
    *said, line = errors
    unexpected = [
        each
        for each in said
        if not each.startswith(("tolman: resuming", "tolman: warning"))
    ]
    assert unexpected == []
    assert line.startswith("tolman: error: ") and message in line, line
    assert out == "" and len(line) < 1200
    return code


@pytest.fixture
def refused(monkeypatch):
    """What trains all the same fails at once."""

    def run(*arguments):
        raise AssertionError("it trains")

    monkeypatch.setattr(TrainingLoop, "run", run)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    "words, message",
    VERBS + NAMES + RUNS + STUDIES + MATCHES + IN_TURN + NEWER + MAZES,
    ids=short,
)
def test_words(words, message, tolman, tmp_path, monkeypatch):
    with open("/dev/null") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert one_line(tolman, words, message) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    "words, message",
    [(f"{TRAIN} {words}", message) for words, message in VALUES]
    + [(f"train alphazero --env hex {words}", message) for words, message in SIZES],
    ids=short,
)
def test_values_of_flags(words, message, tolman, tmp_path):
    assert one_line(tolman, words, message) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("text, message", CONFIGS, ids=short)
def test_config_files(text, message, tolman, tmp_path):
    (tmp_path / "run.yaml").write_text(text)
    assert one_line(tolman, f"{TRAIN} --config run.yaml", message) == 2


@pytest.mark.parametrize("name, text, words, message", FILES, ids=short)
def test_folders(name, text, words, message, tolman, tmp_path):
    """A run that was never trained, with one file of it torn or of another kind."""
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    if words.startswith("report") and not name.startswith("result"):
        (tmp_path / "run" / "status.json").write_text("{}")
    if words.startswith(("resume", "eval")):
        config = parse_train([*TRAIN.split()[1:], "--core", "feedforward"])
        save_config(config, tmp_path / "run" / "config.yaml")
    path.write_bytes(text.encode("latin-1", "replace"))
    assert one_line(tolman, words, message) == 2


@pytest.mark.parametrize("code, message", CODE, ids=short)
def test_code_of_a_users_own(code, message, tolman, tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(code)
    monkeypatch.delitem(sys.modules, "theirs", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    one_line(tolman, "train meta_rl --env theirs:Env", message)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.py"]


def test_there_are_enough_of_them():
    groups = (VERBS, NAMES, VALUES, SIZES, RUNS, STUDIES, MATCHES, CONFIGS, FILES, CODE)
    assert sum(map(len, (*groups, IN_TURN, NEWER, MAZES))) >= 300
