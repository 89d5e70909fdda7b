"""Datadog's own client: sends one log to the intake at HOST. The API key is in KEY."""

import os
import sys

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.content_encoding import ContentEncoding
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem

configuration = Configuration()
configuration.api_key["apiKeyAuth"] = os.environ["KEY"]
# The second of the endpoint's servers takes any host.
configuration.server_index = 1
configuration.server_variables |= {"name": sys.argv[1], "protocol": "http"}
log = HTTPLogItem(
    ddsource="ping-one",
    ddtags="env_id:e",
    hostname="pingone",
    service="pingone-davinci",
    message='{"id":"theirs"}',
    event_uid="1",
    status="info",
)
with ApiClient(configuration) as client:
    LogsApi(client).submit_log(body=HTTPLog([log]), content_encoding=ContentEncoding.GZIP)
