"""What share of the matrix-multiply rate decoders are evaluated at.

    python -m benchmarks.studies.decoder_arithmetic

In turns, medians of several rounds: the processor's rate of multiplying a batch by a 512x512 matrix (the best
of several batch sizes, all threads on one product or a product for each thread), the evaluation of decoders
for one code, and the plain forward pass of the same decoders. The arithmetic counted is what is left after
the code's part of the layers is computed once; `nominal` counts the published network's 3.67 million
operations per point instead. Shares by CPU time put the time of all cores in place of that on the clock: they
are the ones to look at where other programs run as well.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, save_results
from bozzetto.sdf import Decoder, DecoderConfig, Evaluator, build_decoder
from bozzetto.sdf.config import REFERENCE_DECODER

SIDE = 512
BATCHES = (512, 2048, 8192)
DECODERS = {"reference": REFERENCE_DECODER, "default": DecoderConfig()}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def seconds(work: Callable[[], object]) -> torch.Tensor:
    """Time of one call on the clock, and of all cores."""
    begin = time.perf_counter(), time.process_time()
    work()
    return torch.tensor([time.perf_counter() - begin[0], time.process_time() - begin[1]])


class Products:
    """Matrix products to compare with."""

    def __init__(self, dtype: torch.dtype, threads: int) -> None:
        self.matrix = torch.randn(SIDE, SIDE).to(dtype)
        self.inputs = {b: [torch.randn(b, SIDE).to(dtype) for _ in range(threads)] for b in BATCHES}
        self.outputs = {b: [torch.empty_like(x) for x in xs] for b, xs in self.inputs.items()}
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        self.threads = threads

    def rate(self) -> torch.Tensor:
        """Operations per second by both clocks: the best of batch sizes and ways to use the threads."""
        rates = []
        for batch in BATCHES:
            repeats = 16384 // batch
            operations = 2 * batch * SIDE * SIDE * repeats * self.threads

            def each(index: int, batch: int = batch, repeats: int = repeats) -> None:
                for _ in range(repeats):
                    torch.mm(self.inputs[batch][index], self.matrix.T, out=self.outputs[batch][index])

            def apart() -> None:
                list(self.pool.map(each, range(self.threads)))  # noqa: B023

            def together() -> None:
                for index in range(self.threads):
                    each(index)  # noqa: B023

            apart()
            torch.set_num_threads(self.threads)
            rates += [operations / seconds(apart), operations / seconds(together)]
        return torch.stack(rates).amax(dim=0)


def operations_per_point(decoder: Decoder, nominal: bool) -> int:
    """Multiplications and additions of the layers, without what depends on the code alone unless `nominal`."""
    config = decoder.config
    total = 2 * decoder.last.weight.numel()
    for index, layer in enumerate(decoder.hidden):
        rows, columns = layer.weight.shape
        once = config.architecture == "concatenate" and index in (0, config.skip) and not nominal
        total += 2 * rows * (columns - config.code_size * once)
    return total


def main() -> None:
    """Measure in turns and write medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points", type=int, default=32768, help="points per evaluation of the reference")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows = {}
    for name, config in DECODERS.items():
        decoder = build_decoder(config).eval()
        for parameter in decoder.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
        code = 0.06 * torch.randn(config.code_size)
        points = 2 * torch.rand(options.points * (1 if name == "reference" else 8), 3) - 1
        with torch.no_grad():
            exact = torch.cat([decoder(code[None], part[None])[0] for part in points.split(8192)])
        for precision, dtype in DTYPES.items():
            products, evaluator = Products(dtype, options.threads), Evaluator(decoder, code, precision)
            error = float((evaluator(points) - exact).abs().max())

            def plain(decoder=decoder, code=code, points=points) -> None:
                with torch.no_grad():
                    for part in points[:8192].split(8192):
                        decoder(code[None], part[None])

            shares, rates, speeds, gains = [], [], [], []
            operations = operations_per_point(decoder, nominal=False)
            for _ in range(options.rounds):
                rate = products.rate()
                took = seconds(lambda e=evaluator, p=points: e(p))
                rates.append(float(rate[0]))
                speeds.append(len(points) / float(took[0]))
                shares.append((operations * len(points) / took / rate).tolist())
                if precision == "float32":
                    gains.append(float((seconds(plain) / took)[1]) * len(points) / 8192)
            share, cpu_share = (statistics.median(s) for s in zip(*shares, strict=True))
            row = {
                "matrix_multiply_gflops": statistics.median(rates) / 1e9,
                "million_points_per_second": statistics.median(speeds) / 1e6,
                "operations_per_point": operations,
                "share": share,
                "share_range": [min(s[0] for s in shares), max(s[0] for s in shares)],
                "share_by_cpu_time": cpu_share,
                "share_by_cpu_time_range": [min(s[1] for s in shares), max(s[1] for s in shares)],
                "nominal_share": share * operations_per_point(decoder, nominal=True) / operations,
                "largest_difference_to_forward": error,
            }
            if gains:
                row["faster_than_forward"] = statistics.median(gains)
            rows[f"{name} {precision}"] = row
            print(
                f"{name:10} {precision:9} {row['million_points_per_second']:.3f} Mpoints/s, "
                f"{100 * share:.0f} % of {row['matrix_multiply_gflops']:.0f} GFLOP/s, "
                f"{100 * cpu_share:.0f} % by CPU time"
            )
    save_results("decoder_arithmetic", {"threads": options.threads, "decoders": rows}, options.out)


if __name__ == "__main__":
    main()
