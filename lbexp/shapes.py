"""Shapes of arrays, as annotations: what the axes of an argument are, under one name each.

`Float[Array, 'n n']` is an array of floating point with two axes of one length, as jaxtyping has
it. An axis has one length throughout a signature, '' is a scalar, '...' and '*stack' are any number
of axes, and '{k}+1' is computed from the argument k.

Nothing looks at them when lbexp runs: tests/shapes_test.py calls every function that is annotated
so, with the right shapes and with wrong ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Integer, Key, Num, PyTree, Shaped, UInt32

Scalar = Float[Array, '']
Flag = Bool[Array, '']
Count = Int32[Array, '']
UnsignedCount = UInt32[Array, '']
Vector = Float[Array, ' n']
Matrix = Float[Array, 'n n']

# Examples, and the functions of a workload. n: examples.
Seed = UInt32[Array, '']
RandomKey = Key[Array, '']
Positions = UInt32[Array, ' n']  # in the stream of training examples
Places = Integer[Array, ' n']  # in the stored order
Order = Int32[Array, ' n']
PerExample = Shaped[Array, 'n ...']
Examples = dict[str, PerExample]
Stored = Shaped[np.ndarray, 'size ...']  # size: of the data set
StoredExamples = dict[str, Stored]
Numbers = Num[Array, ' n']
IntegerLabels = Integer[Array, ' n'] | Bool[Array, ' n']
Values = dict[str, Numbers]  # one number for each example
Params = PyTree[Float[Array, '...']]
Init = Callable[[RandomKey], tuple[Params, Any]]  # -> (params, model_state)
# (params, model_state, examples, key) -> (values, model_state)
Loss = Callable[[Params, Any, Examples, RandomKey], tuple[Values, Any]]
Metrics = Callable[[Params, Any, Examples], Values]  # (params, model_state, examples) -> values
# (params, model_state, examples) -> outputs: logits, predictions
Predict = Callable[[Params, Any, Examples], PerExample]

# What a layer does to a batch.
Batch = Float[Array, 'n ...']
SameBatch = Float[Array, '*batch']  # of whatever shape goes in
Outputs = Float[Array, 'n {self.outputs}']
Images = Float[Array, 'n h w c']
Features = Float[Array, 'n h w {self.features}']
Pairs = Float[Array, 'n 2 d']  # two vectors of each example
Fields = Float[Array, 'n fields e']  # vectors of the columns of a table
AttendedFields = Float[Array, 'n fields {self.heads}*{self.width}']
FieldNumbers = Float[Array, 'n fields']
FieldPieces = Float[Array, 'n fields t']  # shares of a number's pieces
FlatFields = Float[Array, 'n d']  # the vectors one after another
Projection = Float[Array, 'k fields']
FieldProducts = Float[Array, 'n fields k']
Ids = Integer[Array, ' n']  # of one categorical column
# Sequences of tokens, which may be several in a row. l: positions of a row.
PackedRows = Integer[np.ndarray, 'n l']
Tokens = Integer[Array, 'n l']
Segments = Integer[Array, 'n l']  # 1, 2, ... the sequences of a row; 0: padding
TokenLogits = Float[Array, 'n l {self.vocabulary}']
# Of a row alone, and of m places in a row.
Row = Integer[Array, ' l']
HiddenTokens = Integer[Array, ' m']
PlacesInRows = Integer[Array, 'n m']
PlaceLogits = Float[Array, 'n m {self.trunk.vocabulary}']

# Moments of a series. In a stack of states each leaf has one more axis, the first.
Counts = Int32[Array, '*states']
FloatTree = PyTree[Float[Array, '...']]
Batches = PyTree[Float[Array, 'batches ...']]

# Linear maps of the theory. n: numbers of a state.
LeftFactor = Float[Array, '... n k']
RightFactor = Float[Array, '... k m']
Product = Float[Array, '... n m']
Columns = Float[Array, 'n m']
LinearMap = Float[Array, 'm n']
MappedVector = Float[Array, ' m']
MappedMatrix = Float[Array, 'm m']
VectorOrColumns = Float[Array, 'n *columns']
StackOfVectors = Float[Array, '*stack n']
StackOfMatrices = Float[Array, '*stack n n']
Chosen = Bool[Array, ' n'] | Bool[np.ndarray, ' n']
TwoByTwo = Float[Array, '2 2']  # on weights and buffer
Covariances = Float[Array, '{k}+1 n n']  # at the inner updates 0 .. k
Correlations = Float[Array, '{lags}+1']  # at the lags 0 .. lags
# Eleven numbers stand for a server and exchangeable workers (theory/exchangeable.py).
Eleven = Float[Array, '11']
ElevenByEleven = Float[Array, '11 11']
WithWorkers = Float[Array, '3+{workers} 3+{workers}']
# Of curvature. steps: products of one Lanczos run; points: where a density or a loss is asked for.
Steps = Float[Array, ' steps']
SquareOfSteps = Float[Array, 'steps steps']
NodesOfProbes = Float[Array, 'probes steps']
DensityPoints = Float[Array, ' points']
LossOfPoints = Float[Array, ' points']
LossOfGrid = Float[Array, 'rows columns']
GramOfGroups = Float[Array, 'groups groups']
# Of the coordinates of a quadratic.
Spectrum = Float[Array, ' d'] | Float[np.ndarray, ' d']
# Of the trials that a line is fitted to.
OfTrials = Num[np.ndarray, ' trials']
WhichTrials = Bool[np.ndarray, ' trials']
