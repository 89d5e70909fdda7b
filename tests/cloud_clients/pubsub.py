"""Google's own clients: sign in with the credentials in FILE, and publish one message to the API at URL."""

import sys

from google.auth import load_credentials_from_file
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports.rest import PublisherRestTransport
from google.pubsub_v1.types import PubsubMessage

file, url = sys.argv[1:]
credentials, _ = load_credentials_from_file(file, scopes=["https://www.googleapis.com/auth/cloud-platform"])
# A signed token without a request to an issuer would be sent otherwise.
credentials = credentials.with_always_use_jwt_access(False)
host = url.removeprefix("http://")
transport = PublisherRestTransport(
    host=host, credentials=credentials, url_scheme="http", always_use_jwt_access=False
)
message = PubsubMessage(data=b'{"id":"theirs"}', attributes={"event_uid": "1"})
PublisherClient(transport=transport).publish(topic="projects/my-project/topics/davinci", messages=[message])
