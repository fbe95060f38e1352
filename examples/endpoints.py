"""Three endpoints of one service, of which one is switched off while a batch is read."""

from __future__ import annotations

import os
import sys

from headrace import Client
from headrace.errors import MissingDependency
from headrace.testing.faults import FaultProxy
from headrace.testing.servers import MiniStack


def show(client: Client) -> None:
    for endpoint in client.endpoints():
        state = "left out" if endpoint.ejected else "in use"
        print(f"{endpoint.url}  {endpoint.requests:4} requests  {endpoint.errors:2} errors  {endpoint.bytes_read:8} bytes read  {state}")


def main() -> None:
    with MiniStack() as server, FaultProxy(server.endpoint) as one, FaultProxy(server.endpoint) as two:
        os.environ.update(AWS_ACCESS_KEY_ID=server.access_key, AWS_SECRET_ACCESS_KEY=server.secret_key)
        with Client(endpoints=[server.endpoint, one.endpoint, two.endpoint], endpoint_strategy="least_connections") as client:
            client.create_container("s3://bucket")
            uris = [f"s3://bucket/{number}" for number in range(300)]
            for item in client.put_many((uri, bytes(10_000)) for uri in uris):
                assert item.info is not None
            print("written:")
            show(client)

            for number, item in enumerate(client.get_many(uris)):
                assert len(item.data) == 10_000
                if number == 100:
                    two.close()
            print("read, while the last one was switched off:")
            show(client)


if __name__ == "__main__":
    try:
        main()
    except MissingDependency as error:
        sys.exit(str(error))
