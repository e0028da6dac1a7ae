"""The memory cores that ship with Tolman; importing this package registers them."""

from tolman.networks.cores.attention import Attention, AttentionConfig
from tolman.networks.cores.dnc import DNC, DNCConfig
from tolman.networks.cores.feedforward import Feedforward, FeedforwardConfig
from tolman.networks.cores.ffm import FFM, FFMConfig
from tolman.networks.cores.gtrxl import GTrXL, GTrXLConfig
from tolman.networks.cores.mamba import Mamba, MambaConfig
from tolman.networks.cores.matrix import (
    DeltaNet,
    DeltaNetConfig,
    LinearAttention,
    LinearAttentionConfig,
)
from tolman.networks.cores.memo import Memo, MemoConfig
from tolman.networks.cores.mingru import MinGRU, MinGRUConfig
from tolman.networks.cores.recurrent import GRU, LSTM, GRUConfig, LSTMConfig
from tolman.networks.cores.shm import SHM, SHMConfig
from tolman.networks.cores.slstm import SLSTM, SLSTMConfig
from tolman.networks.cores.stack import Stack, StackConfig
from tolman.networks.cores.stacked import Stacked, StackedLSTM, StackedLSTMConfig
from tolman.networks.cores.state_space import LRU, S5, LRUConfig, S5Config

__all__ = [
    "DNC",
    "FFM",
    "GRU",
    "LRU",
    "LSTM",
    "S5",
    "SHM",
    "SLSTM",
    "Attention",
    "AttentionConfig",
    "DNCConfig",
    "DeltaNet",
    "DeltaNetConfig",
    "FFMConfig",
    "Feedforward",
    "FeedforwardConfig",
    "GRUConfig",
    "GTrXL",
    "GTrXLConfig",
    "LRUConfig",
    "LSTMConfig",
    "LinearAttention",
    "LinearAttentionConfig",
    "Mamba",
    "MambaConfig",
    "Memo",
    "MemoConfig",
    "MinGRU",
    "MinGRUConfig",
    "S5Config",
    "SHMConfig",
    "SLSTMConfig",
    "Stack",
    "StackConfig",
    "Stacked",
    "StackedLSTM",
    "StackedLSTMConfig",
]
