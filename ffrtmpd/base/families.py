"""From figures to the families that a Prometheus collector yields."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric, UnknownMetricFamily
from prometheus_client.samples import Exemplar as PrometheusExemplar

from ffrtmpd.base.figures import LONG, SEPARATOR, SUM, Exemplar

Labels = tuple[str, ...]
Plain = tuple[str, float]


class Reader:
    """Makes families of figures."""

    def __init__(self, values: Mapping[str, float], exemplars: Mapping[str, Exemplar]) -> None:
        self._values = values
        self._exemplars = exemplars

    def value(self, metric: str, *labels: str) -> float:
        """Return a counter, 0 if it never counted."""
        return self._values.get(SEPARATOR.join((metric, *labels)), 0.0)

    def counter(
        self, name: str, text: str, metric: str, labels: Labels, known: Iterable[Labels] | None = None
    ) -> Metric:
        """Return a counter family with the label values ``known``, or with those counted so far."""
        family = CounterMetricFamily(name, text, labels=labels)
        return self._fill(family, metric, known)

    def unknown(self, name: str, text: str, metric: str, labels: Labels, known: Iterable[Labels]) -> Metric:
        """Return the same without a type, for names that a counter may not have."""
        return self._fill(UnknownMetricFamily(name, text, labels=labels), metric, known)

    def _fill(
        self, family: CounterMetricFamily | UnknownMetricFamily, metric: str, known: Iterable[Labels] | None
    ) -> Metric:
        for values in self._counted(metric) if known is None else known:
            family.add_metric(values, self.value(metric, *values))
        return family

    def _counted(self, metric: str) -> Iterator[Labels]:
        for name in sorted(self._values):
            first, *values = name.split(SEPARATOR)
            if first == metric:
                yield tuple(values)

    def histogram(
        self,
        name: str,
        text: str,
        metric: str,
        labels: Labels,
        *,
        known: Iterable[Labels],
        bounds: tuple[float, ...] = LONG,
        also: Mapping[str, str] | None = None,
    ) -> Metric:
        """Return a histogram family; ``also`` are labels that all of it shares."""
        shared = also or {}
        family = HistogramMetricFamily(name, text, labels=(*shared, *labels))
        edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
        for values in known:
            counts = accumulate(self.value(metric, *values, str(bucket)) for bucket in range(len(edges)))
            buckets = [
                self._bucket((edge, number), SEPARATOR.join((metric, *values, str(bucket))))
                for bucket, (edge, number) in enumerate(zip(edges, counts, strict=True))
            ]
            family.add_metric((*shared.values(), *values), buckets, self.value(metric, *values, SUM))
        return family

    def _bucket(
        self, bucket: tuple[str, float], name: str
    ) -> tuple[str, float] | tuple[str, float, PrometheusExemplar]:
        seen = self._exemplars.get(name)
        if seen is None:
            return bucket
        return (*bucket, PrometheusExemplar({"job_id": seen.job_id}, seen.value, seen.at))
