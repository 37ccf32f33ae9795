"""Classification of a hospital's table, by logistic regression or a multilayer perceptron.

Example:
    >>> import pandas as pd
    >>> from node.tabular import Architecture, TabularClassification, describe
    >>> hospital = pd.DataFrame({"size": [1.0, 2.0, None, 8.0, 9.0, 7.5], "malignant": [0, 0, 0, 1, 1, 1]})
    >>> task = TabularClassification.from_document(describe([hospital], label="malignant"))
    >>> [spec.name for spec in task.tensors()]
    ['linear.weight', 'linear.bias']
    >>> data = task.load(hospital)
    >>> data.num_examples, data.test_rows
    (4, 2)
    >>> trained = task.train(task.genesis(seed=7), data, seed=7)
    >>> task.evaluate(trained.tensors, data)["auc"]
    1.0
"""

from node.tabular.cells import MISSING
from node.tabular.network import Architecture
from node.tabular.preparation import TabularData
from node.tabular.schema import KIND, OTHER, Column, Holdout, TabularSchema, describe
from node.tabular.table import read_csv
from node.tabular.task import TabularClassification

__all__ = [
    "KIND",
    "MISSING",
    "OTHER",
    "Architecture",
    "Column",
    "Holdout",
    "TabularClassification",
    "TabularData",
    "TabularSchema",
    "describe",
    "read_csv",
]
