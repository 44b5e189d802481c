"""The networks of lbexp in PyTorch, as its users write them: eager, with its default threads."""

import itertools
from collections.abc import Callable, Mapping

import torch
from _side_by_side import Batches, Way
from torch import nn
from torch.nn import functional


def way(
    network: nn.Module,
    loss: Callable[[nn.Module, Mapping[str, torch.Tensor]], torch.Tensor],
    arrays: Mapping,
    batch_size: int,
) -> Way:
    """Forward, backward and momentum SGD, on batches that are drawn as those of the usual loop."""
    batches = Batches(arrays, batch_size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def run(steps):
        for _ in range(steps):
            batch = {name: torch.from_numpy(array) for name, array in batches.next().items()}
            optimizer.zero_grad(set_to_none=True)
            loss(network, batch).backward()
            optimizer.step()

    return run


class Convolutions(nn.Module):
    """lbexp.models.cnn of pictures [28, 28, 1]."""

    def __init__(self, channels_last: bool, channels=(16, 32), hidden=128, outputs=10):
        super().__init__()
        widths = itertools.pairwise((1, *channels))
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in widths)
        self.hidden = nn.Linear(7 * 7 * channels[-1], hidden)
        self.outputs = nn.Linear(hidden, outputs)
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.format)

    def forward(self, x):
        for convolution in self.convolutions:
            x = functional.max_pool2d(functional.relu(convolution(x)), 2)
        return self.outputs(functional.relu(self.hidden(x.flatten(1))))


def of_pictures(network: Convolutions, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    pictures = batch['image'].permute(0, 3, 1, 2).float() / 255
    pictures = pictures.contiguous(memory_format=network.format)
    return functional.cross_entropy(network(pictures), batch['label'].long())


class LongShortTermMemory(nn.Module):
    """lbexp.models.lstm, but that a state goes on where the next text of a row begins, and that
    nn.LSTM has two biases."""

    def __init__(self, tokens: int, embedding=64, hidden=128, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(tokens, embedding)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.logits = nn.Linear(hidden, tokens)

    def forward(self, tokens, segments):
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        return self.logits(self.dropout(states))


class Transformer(nn.Module):
    """lbexp.models.transformer."""

    def __init__(self, tokens: int, positions: int, width=64, blocks=2, heads=2):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, tokens, segments):
        length = tokens.shape[1]
        before = functional.pad(segments, (1, 0), value=-1)[:, :-1]
        place = torch.arange(length).expand_as(segments)
        begin = torch.where(segments != before, place, 0)
        x = self.embedding(tokens) + self.position(place - begin.cummax(1).values)
        is_same = segments[:, :, None] == segments[:, None]
        mask = (is_same & torch.ones(length, length, dtype=torch.bool).tril())[:, None]
        for block in self.blocks:
            x = block(x, mask)
        return functional.linear(self.norm(x), self.embedding.weight)


class _Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first_norm = nn.LayerNorm(width, bias=False)
        self.second_norm = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attended = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x, mask):
        n, length, width = x.shape
        parts = self.qkv(self.first_norm(x)).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.attended(attended.transpose(1, 2).reshape(n, length, width))
        hidden = functional.gelu(self.up(self.second_norm(x)), approximate='tanh')
        return x + self.down(hidden)


def of_texts(network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The mean over tokens; padding, segment 0, has no loss."""
    segments = batch['segments']
    logits = network(batch['tokens'], segments)
    targets = torch.where(segments > 0, batch['targets'], -100).long()
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class DeepAndCross(nn.Module):
    """lbexp.models.dcn, 'matrix' and 'stacked'."""

    def __init__(self, sizes: torch.Tensor, embedding=10, layers=2, hidden=(64, 64)):
        super().__init__()
        width = len(sizes) * embedding
        self.starts = sizes.cumsum(0) - sizes  # of the fields, in one table
        self.vectors = nn.Embedding(int(sizes.sum()), embedding)
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.deep = nn.ModuleList()
        for a, b in itertools.pairwise((width, *hidden)):
            self.deep.append(nn.Linear(a, b))
        self.logits = nn.Linear(hidden[-1], 1)

    def forward(self, categories):
        start = x = self.vectors(categories + self.starts).flatten(1)
        for layer in self.cross:
            x = start * layer(x) + x
        for layer in self.deep:
            x = functional.relu(layer(x))
        return self.logits(x)[:, 0]


def of_clicks(network: DeepAndCross, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of Adult."""
    logits = network(batch['categorical'])
    return functional.binary_cross_entropy_with_logits(logits, batch['income'].float())
