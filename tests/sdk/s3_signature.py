"""Judges signed URLs of Object Storage by Amazon's own library: a line "METHOD URL" in, "right" or "wrong" out.

The secret key is in SECRET.
"""

import os
import sys
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

for line in sys.stdin:
    method, url = line.split()
    parts = urlsplit(url)
    # As they are written: to decode and encode them again would hide a wrong encoding.
    kept = [one for one in parts.query.split("&") if not one.startswith("X-Amz-Signature=")]
    query = parse_qs(parts.query)
    access, _, region, service, _ = query["X-Amz-Credential"][0].split("/")
    auth = S3SigV4QueryAuth(Credentials(access, os.environ["SECRET"]), service, region)
    request = AWSRequest(method=method, url=parts._replace(query="&".join(kept)).geturl())
    request.context["timestamp"] = query["X-Amz-Date"][0]
    signed = auth.string_to_sign(request, auth.canonical_request(request))
    right = auth.signature(signed, request) == query["X-Amz-Signature"][0]
    print("right" if right else "wrong", line.strip())
