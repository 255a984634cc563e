"""Speaks to an Edge Services API with the official Python SDK.

Creates, gets, waits and lists, and prints what came back as one JSON document. The address, the
key and the two pipelines come from the environment.
"""

import json
import os

from scaleway import Client
from scaleway.edge_services.v1beta1 import EdgeServicesV1Beta1API, PurgeRequestStatus
from scaleway_core.api import ScalewayException

env = os.environ
api = EdgeServicesV1Beta1API(
    Client(
        access_key="SCWXXXXXXXXXXXXXXXXX",
        secret_key=env["API_KEY"],
        api_url=env["API_URL"],
    )
)
pipeline, other = env["PIPELINE"], env["OTHER_PIPELINE"]


def plain(request):
    return {
        "id": request.id,
        "pipeline": request.pipeline_id,
        "status": str(request.status),
        "assets": request.assets,
        "all": request.all,
        "dated": request.created_at is not None and request.updated_at is not None,
    }


made = api.create_purge_request(pipeline_id=pipeline, assets=["/a.css", "/b?c=%C3%A9"])
got = api.get_purge_request(purge_request_id=made.id)
waited = api.wait_for_purge_request(purge_request_id=made.id)
assert waited.status == PurgeRequestStatus.DONE, waited
whole = api.wait_for_purge_request(
    purge_request_id=api.create_purge_request(pipeline_id=other, all=True).id
)
for number in range(5):
    api.create_purge_request(pipeline_id=pipeline, assets=[f"/{number}"])

refusals = {}
for name, call in {
    "unknown request": lambda: api.get_purge_request(purge_request_id=pipeline),
    "no target": lambda: api.create_purge_request(pipeline_id=pipeline),
    "bad asset": lambda: api.create_purge_request(pipeline_id=pipeline, assets=["a"]),
}.items():
    try:
        call()
    except ScalewayException as refusal:
        refusals[name] = refusal.status_code

print(
    json.dumps(
        {
            "made": plain(made),
            "got": plain(got),
            "waited": plain(waited),
            "whole": plain(whole),
            "refusals": refusals,
            "oldest first": [r.id for r in api.list_purge_requests_all(page_size=2)],
            "newest first": [
                r.id
                for r in api.list_purge_requests_all(page_size=3, order_by="created_at_desc")
            ],
            "page": [r.id for r in api.list_purge_requests(page=2, page_size=3).purge_requests],
            "total": api.list_purge_requests().total_count,
            "pipeline": [r.id for r in api.list_purge_requests_all(pipeline_id=other)],
            "project": [
                r.id for r in api.list_purge_requests_all(project_id=env["OTHER_PROJECT"])
            ],
            "organization": [
                r.id
                for r in api.list_purge_requests_all(organization_id=env["OTHER_ORGANIZATION"])
            ],
        }
    )
)
