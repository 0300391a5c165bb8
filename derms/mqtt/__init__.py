"""An MQTT link that stays up: the feed and the sink of the controller, and of every agent.

Rules:

- A link connects, and connects again, by itself: quickly the first time, then with doubling, jittered pauses. An
  outage is logged once when it starts and once when it ends.
- A publish never waits for a reconnect: while there is no connection it fails at once. After a failed publish the
  message may or may not have reached the broker.
- The inbox is bounded. When it is full the link stops reading, and TCP makes the broker wait: nothing is dropped
  here. (The last chunk before a connection ends, at most 256 kB, is still taken.) With manual acknowledgement the
  MQTT 5 receive maximum keeps the unacknowledged messages within the inbox as well; in 3.1.1 the broker sets that
  window.
- Messages whose connection has ended can still be handled and acknowledged, to no effect: the broker sends them
  again if the session outlives the connection (`session_expiry_s` > 0).
- MQTT 5 is tried first, then 3.1.1. A broker that says it lacks version 5 is believed for good; one that only hung
  up or kept silent (amqtt, when asked for a receive maximum) is asked once more, after the next outage.
"""

from derms.mqtt.address import BrokerAddress, TlsFiles, Will, parse_broker_url, tls_context
from derms.mqtt.link import MqttLink
from derms.mqtt.refusals import BrokerRefusedError

__all__ = [
    "BrokerAddress",
    "BrokerRefusedError",
    "MqttLink",
    "TlsFiles",
    "Will",
    "parse_broker_url",
    "tls_context",
]
