"""Read-only DICOMweb for other viewers (PS3.18: QIDO-RS 10.6, WADO-RS 10.4), off unless the site switches it on.

It shows what the worklist shows and tells nothing of what a machine said. The page itself parses no object: it hands
the kept bytes to a confined process (world.objects), or passes them on unread.
"""

from appliance.review.dicomweb import retrieve, search

ROUTES = {**search.ROUTES, **retrieve.ROUTES}
