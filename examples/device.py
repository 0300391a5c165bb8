"""A car charger in ten lines: python examples/device.py HOST PORT DEVICE_ID (needs only paho-mqtt)."""

import json
import sys
import time

import paho.mqtt.client as mqtt

host, port, device_id = sys.argv[1], int(sys.argv[2]), sys.argv[3]
lease = {"p_setpoint_kw": 0.0, "valid_until": 0}
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device_id, protocol=mqtt.MQTTv311)
client.on_connect = lambda c, *_: c.subscribe(f"der/control/{device_id}", qos=1)
client.on_message = lambda _c, _u, m: (lease.update(json.loads(m.payload)), print("setpoint", lease, flush=True))
client.connect(host, port)
client.loop_start()
while True:
    now = int(time.time() * 1000)
    p_kw = lease["p_setpoint_kw"] if now < lease["valid_until"] else None  # without a lease: default control, here 0
    sample = {"v": 1, "device_id": device_id, "type": "ev", "ts": now, "p_actual_kw": p_kw or 0.0, "soc": 0.4}
    sample |= {"p_setpoint_kw": p_kw, "p_max_kw": 7.2, "capacity_kwh": 60.0}
    if p_kw is not None:
        sample["applied"] = {"epoch": lease["epoch"], "seq": lease["seq"]}
    client.publish(f"der/telemetry/{device_id}", json.dumps(sample), qos=1)
    time.sleep(1)
