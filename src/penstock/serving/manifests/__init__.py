"""Files with which an endpoint runs in a cluster or in containers: pure texts, made from a `Deployable`."""
