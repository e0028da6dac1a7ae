"""The memory cores that ship with Tolman; importing this package registers them."""

from tolman.networks.cores.dnc import DNC, DNCConfig
from tolman.networks.cores.feedforward import Feedforward, FeedforwardConfig
from tolman.networks.cores.gtrxl import GTrXL, GTrXLConfig
from tolman.networks.cores.memo import Memo, MemoConfig
from tolman.networks.cores.recurrent import GRU, LSTM, GRUConfig, LSTMConfig
from tolman.networks.cores.stacked import Stacked, StackedLSTM, StackedLSTMConfig

__all__ = [
    "DNC",
    "GRU",
    "LSTM",
    "DNCConfig",
    "Feedforward",
    "FeedforwardConfig",
    "GRUConfig",
    "GTrXL",
    "GTrXLConfig",
    "LSTMConfig",
    "Memo",
    "MemoConfig",
    "Stacked",
    "StackedLSTM",
    "StackedLSTMConfig",
]
