from __future__ import annotations

import json
import re

from proxy.admin.api import build_admin
from proxy.admin.openapi import openapi_document


async def test_the_document_lists_what_there_is_and_nothing_else(house):
    app = build_admin(house)
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/api/") and route.method != "HEAD"
    }

    listed = {(method.upper(), path) for path, methods in openapi_document("1")["paths"].items() for method in methods}

    assert listed == served - {("GET", "/api/v1/openapi.json")}


def test_every_reference_leads_somewhere():
    document = openapi_document("1")

    for reference in set(re.findall(r'"#/([^"]+)"', json.dumps(document))):
        found = document
        for key in reference.split("/"):
            found = found[key]
