# Stands in for Prometheus' own image where no registry can be reached: Debian's server, called in the same way.
FROM python:3.11-slim-bookworm
RUN apt-get update --quiet=2 \
    && apt-get install --yes --quiet=2 --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=nobody --group=nogroup /prometheus
USER nobody
EXPOSE 9090
ENTRYPOINT ["/usr/bin/prometheus"]
