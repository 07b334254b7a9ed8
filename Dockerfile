# Cloister's viewer, and the script that sets the team's database up. See docker-compose.yml.
FROM python:3.12-slim AS build
COPY . /source
RUN pip wheel --no-cache-dir --wheel-dir /wheels "/source[viewer]"

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "cloister[viewer]" \
    && useradd --system --uid 10001 --no-create-home cloister \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/cloister
COPY deploy/set_up_database.py /opt/cloister/set_up_database.py
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CLOISTER_HOME=/tmp/cloister
USER 10001:10001
WORKDIR /tmp
EXPOSE 6390
CMD ["cloister", "serve"]
