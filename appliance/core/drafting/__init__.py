"""A language model's draft: what it is asked, what shape its answer has, and the checks before anybody is shown it.

Pure, and the same at the centre and, where a site chose so, on the appliance.
"""
