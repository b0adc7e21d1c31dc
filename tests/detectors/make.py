"""Rows for tests/detectors.rs, and what scikit-learn makes of them. Writes the files beside it: python tests/detectors/make.py

Needs scikit-learn (1.9 made the files in the repository). Healthy rows to fit, then rows to score of which some are faults.
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.svm import OneClassSVM

HERE = Path(__file__).parent
FIT, HEALTHY, FAULTY = 400, 200, 100
SEEDS = range(20)


def clusters(rng, rows):
    """Two long clusters across each other."""
    one = rng.multivariate_normal([-2, 0, 0], [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 0.3]], rows - rows // 2)
    two = rng.multivariate_normal([2, 1, 1], [[1, -0.8, 0.2], [-0.8, 1, 0], [0.2, 0, 0.5]], rows // 2)
    return rng.permutation(np.vstack([one, two]))


def plane(rng, rows):
    """Six signals of two causes."""
    mixing = np.array([[1, 0.5, -1, 0.3, 0.8, 0], [0, 1, 0.5, -0.7, 0.4, 1]])
    return rng.normal(size=(rows, 2)) @ mixing + rng.normal(scale=0.2, size=(rows, 6))


def faults(healthy, rng):
    """Each signal moved by itself: ordinary one by one, strange together."""
    return healthy(rng, FAULTY) + rng.normal(scale=1.5, size=healthy(rng, 2).shape[1])[None, :] * rng.choice([-1, 1], size=(FAULTY, 1))


def scores(fit, test):
    """Name, scores of each seed."""
    yield "isolation_forest", [-IsolationForest(n_estimators=100, max_samples=256, random_state=s).fit(fit).score_samples(test) for s in SEEDS]
    yield "kmeans", [KMeans(2, n_init=10, random_state=s).fit(fit).transform(test).min(axis=1) for s in SEEDS]
    yield "gaussian_mixture", [-GaussianMixture(2, n_init=3, random_state=s).fit(fit).score_samples(test) for s in SEEDS]
    yield "one_class_svm", [-OneClassSVM(nu=0.05, gamma="scale").fit(fit).score_samples(test)]
    pca = PCA(0.9, svd_solver="full").fit(fit)
    yield "pca", [np.linalg.norm(test - pca.inverse_transform(pca.transform(test)), axis=1)]


figures = {"scikit-learn": sklearn.__version__}
for name, healthy in [("clusters", clusters), ("plane", plane)]:
    rng = np.random.default_rng(7)
    fit, test = healthy(rng, FIT).round(5), np.vstack([healthy(rng, HEALTHY), faults(healthy, rng)]).round(5)
    np.savetxt(HERE / f"{name}.csv", np.vstack([fit, test]), "%.5f", ",")
    truth = np.repeat([0, 1], [HEALTHY, FAULTY])
    figures[name] = {kind: round(float(np.mean([roc_auc_score(truth, s) for s in each])), 5) for kind, each in scores(fit, test)}
(HERE / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
