"""What the papers measured, beside which a claim stands: setting, quantity, number.

Each was looked up; what was not at hand is said to be not verified, and no number of it is given.
"""

KESKAR = (
    'Keskar et al. 2017 (arXiv:1609.04836, Tables 2 and 3): six networks on MNIST, TIMIT and '
    'CIFAR, Adam, batch 256 against 10 % of the training set, until the loss ceases to improve, 5'
    ' runs. Test accuracy 0.2 (F1, MNIST) to 5.3 points (C4, CIFAR-100) lower, training accuracy '
    'within 1.7 points. The paper claims that the minima are sharp (F1: sharpness 1.23 against '
    '205 at epsilon 1e-3); that is not measured here, its premise is'
)
KESKAR_SHARPNESS = (
    'Keskar et al. 2017 (arXiv:1609.04836, Table 3): sharpness at epsilon 1e-3 of network F1, 1.23 '
    'of the small batch against 205 of the large one; Adam, untuned'
)
ANDRIUSHCHENKO = (
    'Andriushchenko et al. 2023 (arXiv:2302.07011, abstract): sharpness "does not correlate well '
    'with generalization but rather with some training parameters like the learning rate"; '
    'CIFAR-10, ImageNet, MNLI'
)
DINH = (
    'Dinh et al. 2017 (arXiv:1703.04933): minima of rectifier networks have equivalents that are '
    'arbitrarily sharp; proved. Kwon et al. 2021 (arXiv:2102.11600): adaptive sharpness has not'
)
SHALLUE_ERROR = (
    'Shallue et al. 2019 (arXiv:1811.03600, abstract): 35 workloads, 168,160 models, tuned at '
    'each batch size: "no evidence that larger batch sizes degrade out-of-sample performance"; no'
    ' number'
)
SHALLUE_SCALING = (
    'Shallue et al. 2019 (arXiv:1811.03600): of every one of 35 tuned workloads steps fall as 1 /'
    ' B at small batch sizes; where that ends depends on the workload (a summary; section 4.1 not'
    ' verified)'
)
SHALLUE_MOMENTUM = (
    'Shallue et al. 2019 (arXiv:1811.03600): momentum is as SGD at small batch sizes and scales '
    'perfectly up to larger ones (a summary of section 4.4, not verified). The quantity there is '
    'where perfect scaling ends, here it is the critical batch size of a fit'
)
MCCANDLISH = (
    'McCandlish et al. 2018 (arXiv:1812.06162, abstract): the gradient noise scale predicts the '
    'largest useful batch size, of MNIST to Dota; the accuracy of the hyperbola was not verified'
)
MERRILL = (
    'Merrill, Arora, Groeneveld, Hajishirzi 2025 (arXiv:2505.23971, abstract): pretraining of OLMo '
    '1B and 7B; the critical batch size "is near 0 at initialization, increases rapidly at first, '
    'and then plateaus"; "strong assumptions are required to justify gradient noise" in its place. '
    'Epsilon 0.01 of the smoothed training loss, and noise scales that are lower by orders of '
    'magnitude (a summary; sections 2 and 3 not verified)'
)
ZHANG_PRECONDITIONED = (
    'Zhang et al. 2019 (arXiv:1907.04164, abstract): Adam and K-FAC have "much larger critical '
    'batch sizes than stochastic gradient descent with momentum"; the factors were not verified'
)
HOFFER_UPDATES = (
    'Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741, abstract): on MNIST, CIFAR-10, CIFAR-100 and '
    'ImageNet the gap "stems from the relatively small number of updates rather than the batch '
    'size, and can be completely eliminated by adapting the training regime"; Table 1 not '
    'verified'
)
HOFFER_DIFFUSION = (
    'Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741, abstract): in the initial phase of high '
    'learning rate the distance "grows logarithmically with the number of weight updates"'
)
HOFFER_GHOST = (
    'Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741, abstract): ghost batch norm "enables '
    'significant decrease in the generalization gap without increasing the number of updates"; '
    'Table 1 not verified'
)
HOFFER_LADDER = (
    'Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741), Table 1: test accuracies of small and large '
    'batch; not verified'
)
HOFFER_NOISE = (
    'Hoffer, Hubara, Soudry 2017 (arXiv:1705.08741), section 4: noise that restores the '
    'covariance of a small batch; its result was not verified. It is meant for long training'
)
LARS = (
    'You, Gitman, Ginsburg 2017 (arXiv:1708.03888, abstract): on ImageNet AlexNet up to batch 8K '
    'and ResNet-50 up to 32K "without loss in accuracy"; nothing of momentum tuned alike'
)
LAMB = 'You et al. 2020 (arXiv:1904.00962): BERT and ResNet-50 at large batch; not verified'
LOOKAHEAD = (
    'Zhang, Lucas, Hinton, Ba 2019 (arXiv:1907.08610): ResNet-18 on CIFAR-10 95.27 % against '
    '95.23 % of SGD, ResNet-50 on ImageNet in 60 epochs 75.49 % against 75.15 %; nothing of large'
    ' batches'
)
NADO = (
    'Nado et al. 2021 (arXiv:2102.06356): ResNet-50 on ImageNet at batch 32,768, Nesterov '
    'momentum reaches 75.92 % in 2,512 steps; BERT-Large at 32,768, AdamW reaches an F1 of 91.58;'
    ' both "match or exceed" LARS and LAMB. Here it is one small network, and its test error'
)
SMITH = (
    'Smith, Kindermans, Ying, Le 2018 (arXiv:1711.00489, abstract): SGD, momentum, Nesterov and '
    'Adam reach "equivalent test accuracies after the same number of training epochs, but with '
    'fewer parameter updates"; the numbers of section 5.1 were not verified'
)
