# The images of derms: `docker build --target serve|agent|sim|secrets`. docs/install.md tells how they are run.
#
# Python 3.11, because the hashed requirements are made for it and the tests run on it.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The virtual environment, made by a pip that does not go into it.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.txt requirements/base.txt requirements/
RUN python -m venv --without-pip /opt/derms \
    && pip install --require-hashes --only-binary=:all: -r requirements/build.txt \
    && pip --python /opt/derms/bin/python install --require-hashes --only-binary=:all: -r requirements/base.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY man man
COPY derms derms
COPY agent agent
COPY sim sim
# Which commit this is: there is no checkout in here that could say it.
ARG SOURCE_COMMIT=
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/derms/bin/python install --no-deps --no-index /wheels/derms-*.whl

# The same, and what drivers and charging stations need.
FROM build AS build-agent
COPY requirements/agent.txt requirements/
RUN pip --python /opt/derms/bin/python install --require-hashes --only-binary=:all: -r requirements/agent.txt

# What runs: nothing of it is written to but /var/lib/derms.
FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 derms \
    && useradd --uid 10001 --gid 10001 --groups dialout --no-create-home --home-dir /var/lib/derms \
        --shell /usr/sbin/nologin derms \
    && install -d -o derms -g derms -m 0750 /var/lib/derms
COPY deploy/docker/healthcheck.py /usr/local/lib/derms/healthcheck.py
ENV PATH=/opt/derms/bin:$PATH HOME=/var/lib/derms PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /var/lib/derms
USER 10001
ENTRYPOINT ["derms"]

FROM base AS agent
COPY --from=build-agent /opt/derms /opt/derms
ENV STATE_DIRECTORY=/var/lib/derms
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "/usr/local/lib/derms/healthcheck.py", "process"]
CMD ["agent", "run", "--config", "/etc/derms/agent.json"]

FROM base AS sim
COPY --from=build /opt/derms /opt/derms
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["python", "/usr/local/lib/derms/healthcheck.py", "process"]
CMD ["sim", "run"]

# Makes the secrets of compose.yaml, each kind in a volume that is first filled with these directories and their owner.
FROM base AS secrets
USER 0
RUN install -d -o derms -g derms -m 0755 /secrets/authority /secrets/broker /secrets/controller /secrets/database \
        /secrets/grafana /secrets/prometheus /secrets/simulator
USER 10001
COPY --from=build /opt/derms /opt/derms
COPY deploy/compose/make_secrets.py deploy/compose/simulator.acl deploy/mosquitto/derms.acl /usr/local/lib/derms/
HEALTHCHECK NONE
ENTRYPOINT ["python", "/usr/local/lib/derms/make_secrets.py"]

FROM base AS serve
COPY --from=build /opt/derms /opt/derms
ENV DERMS_API_HOST=0.0.0.0 DERMS_STATE_DIR=/var/lib/derms/state DERMS_DATA_DIR=/var/lib/derms/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/usr/local/lib/derms/healthcheck.py", "api"]
CMD ["serve"]
