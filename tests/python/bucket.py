"""An S3-compatible store on a free port of 127.0.0.1; prints the port, then serves until it is killed.

One request is answered after the other: a conditional write has to be decided before the next one is looked at,
and moto's threads do not make sure of that.
"""

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Silent(WSGIRequestHandler):
    def log(self, *_):
        pass


server = make_server(
    "127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False, request_handler=Silent
)
print(server.port, flush=True)
server.serve_forever()
