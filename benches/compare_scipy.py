#!/usr/bin/env python3
"""Times each metric here and in numpy/scipy on the same samples in one run, and prints the ratios.

usage: benches/compare_scipy.py        needs numpy and scipy; builds the benchmark with cargo bench (set CARGO for another cargo)
Both sides are given the raw current sample: sorting it is counted for driftgate too. The reference is kept by driftgate (that is how it is
used); scipy has no such thing. Processor time of one thread, median."""
import json, math, os, pathlib, shlex, subprocess, sys, tempfile, time, warnings

for v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(v, "1")
warnings.filterwarnings("ignore")
import numpy as np
from scipy import stats
from scipy.spatial import distance

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = (1000, 10000)


def median_ms(call, budget=1.0, least=3, most=200):
    call()
    times, begin = [], time.perf_counter()
    while len(times) < least or (time.perf_counter() - begin < budget and len(times) < most):
        a = time.process_time()
        call()
        times.append(time.process_time() - a)
    return 1e3 * float(np.median(times))


def shares(x, y):
    edges = np.histogram_bin_edges(np.concatenate((x, y)), "sturges")
    return np.histogram(x, edges)[0] / len(x), np.histogram(y, edges)[0] / len(y)


def filled(p):
    return np.where(p == 0, 1e-4, p)


def psi(p, q):
    p, q = filled(p), filled(q)
    return np.sum((p - q) * np.log(p / q))


def hellinger(p, q):
    return math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum()))


def mmd_statistic(x, y):
    d = lambda a, b: (a[:, None] - b[None, :]) ** 2
    dxx = d(x, x)
    g = 1 / np.median(dxx)
    kxx, kyy = np.exp(-g * dxx).sum() - len(x), np.exp(-g * d(y, y)).sum() - len(y)
    return kxx / len(x) / (len(x) - 1) + kyy / len(y) / (len(y) - 1) - 2 * np.exp(-g * d(x, y)).mean()


def calls(x, y, c1, c2, b1, b2):
    """Name of the benchmark -> the call it is compared with."""
    n = len(x)
    table = np.vstack([c1, c2])
    p, q = c1 / c1.sum(), c2 / c2.sum()
    out = {
        "kolmogorov_smirnov": lambda: stats.ks_2samp(x, y),
        "kolmogorov_smirnov_exact": lambda: stats.ks_2samp(x, y, method="exact"),
        "kolmogorov_smirnov_asymptotic": lambda: stats.ks_2samp(x, y, method="asymp"),
        "wasserstein": lambda: stats.wasserstein_distance(x, y) / x.std(),
        "anderson_darling": lambda: stats.anderson_ksamp([x, y], midrank=True),
        "cramer_von_mises": lambda: stats.cramervonmises_2samp(x, y),
        "mann_whitney_u": lambda: stats.mannwhitneyu(x, y),
        "energy_distance": lambda: stats.energy_distance(x, y),
        "epps_singleton": lambda: stats.epps_singleton_2samp(x, y),
        "t_test": lambda: stats.ttest_ind(x, y, equal_var=False),
        "psi": lambda: psi(*shares(x, y)),
        "kullback_leibler": lambda: stats.entropy(*map(filled, shares(x, y))),
        "jensen_shannon": lambda: distance.jensenshannon(*shares(x, y)),
        "hellinger": lambda: hellinger(*shares(x, y)),
        "counts/chi_squared": lambda: stats.chi2_contingency(table, correction=False),
        "counts/g_test": lambda: stats.chi2_contingency(table, correction=False, lambda_="log-likelihood"),
        "counts/fisher_exact": lambda: stats.fisher_exact([b2, b1]),
        "counts/total_variation_distance": lambda: 0.5 * np.abs(p - q).sum(),
        "counts/psi": lambda: psi(p, q),
        "counts/kullback_leibler": lambda: stats.entropy(filled(p), filled(q)),
        "counts/jensen_shannon": lambda: distance.jensenshannon(p, q),
        "counts/hellinger": lambda: hellinger(p, q),
    }
    if n <= 2000:
        # the statistic alone, without permutations: ours with all 199
        out["mmd"] = lambda: mmd_statistic(x, y)
        out["mmd_statistic_all"] = lambda: mmd_statistic(x, y)
    return out


def main():
    data = {}
    for n in SIZES:
        r = np.random.default_rng(n)
        x, y = r.normal(0, 1, n), r.normal(0.1, 1, n)
        c1, c2 = (r.multinomial(n, np.full(10, 0.1)) for _ in range(2))
        k1, k2 = r.binomial(n, 0.3, 2)
        data[n] = dict(x=x, y=y, c1=c1, c2=c2, b1=np.array([n - k1, k1]), b2=np.array([n - k2, k2]))
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as f:
        json.dump({str(n): {k: v.tolist() for k, v in d.items()} for n, d in data.items()}, f)
    cargo = shlex.split(os.environ.get("CARGO", "cargo"))
    command = [*cargo, "bench", "--no-default-features", "--bench", "metrics", "--", "--quiet", "--warm-up-time", "0.2", "--measurement-time", "0.6", "--sample-size", "20"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DRIFTGATE_BENCH_DATA": f.name}, check=True, stdout=subprocess.DEVNULL)
    os.unlink(f.name)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "criterion"

    def ours(n, name):
        path = target / f"n{n}" / name.replace("/", "_") / "new" / "estimates.json"
        return json.loads(path.read_text())["median"]["point_estimate"] / 1e6

    ratios, bare, slower = [], [], []
    print("| metric | n = m | here, ms | with sorting, ms | scipy, ms | ratio |\n|---|---|---|---|---|---|")
    for n in SIZES:
        sort = ours(n, "sort_current")
        for name, call in calls(**data[n]).items():
            a = ours(n, name)
            whole = a if name.startswith("counts/") else a + sort
            b = median_ms(call)
            ratios.append(b / whole)
            bare.append(b / a)
            if b < whole:
                slower.append(f"{name} at {n}")
            print(f"| {name} | {n} | {a:.4f} | {whole:.4f} | {b:.4f} | {b / whole:.1f} |")
        print(f"| KS + W1 + PSI + JS | {n} | {ours(n, 'ks_w1_psi_js'):.4f} | {ours(n, 'ks_w1_psi_js') + sort:.4f} | | |")
    mean = lambda v: math.exp(np.mean(np.log(v)))
    print(f"\ngeometric mean of the ratios: {mean(ratios):.1f}, without sorting {mean(bare):.1f}; slower than scipy: {', '.join(slower) or 'none'}")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
