"""Several endpoints of one service: how requests are spread over them, and what is known of each.

    from headrace import Client
    from headrace.endpoints import PowerOfTwoChoices

    client = Client(endpoints="http://10.0.0.{1..8}:9000", endpoint_strategy=PowerOfTwoChoices())
    ...
    for endpoint in client.endpoints():
        print(endpoint.url, endpoint.requests, endpoint.errors, endpoint.latency_p99)

An `Endpoint` that keeps failing is left out for a while, and a request that failed is tried at another one; see docs/endpoints.md.
"""

from headrace.endpoints.balancing import Endpoints
from headrace.endpoints.endpoint import Endpoint
from headrace.endpoints.routing import Route
from headrace.endpoints.statistics import EndpointStatistics
from headrace.endpoints.strategies import LeastConnections, PowerOfTwoChoices, RoundRobin, Strategy

__all__ = [
    "Endpoint",
    "EndpointStatistics",
    "Endpoints",
    "LeastConnections",
    "PowerOfTwoChoices",
    "RoundRobin",
    "Route",
    "Strategy",
]
