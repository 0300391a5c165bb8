"""A workplace car park on a model of your own: python examples/cosim_car_park.py [KW] (needs only derms itself).

A day in steps of five minutes, 16 chargers that know whole amps from 6 to 32, a limit of 30 kW (or KW), and from 11:00
to 12:00 an event that allows 18 kW. The physics is here, the decisions are the engine's; docs/cosimulation.md is what
this was written from.
"""

import json
import random
import subprocess
import sys

STEP_S, HOUR_S = 300, 3600
KW_PER_AMP = 0.23
LIMIT_KW = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
CHARGER = {"type": "ev", "p_max_kw": 32 * KW_PER_AMP, "p_min_kw": 6 * KW_PER_AMP, "p_step_kw": KW_PER_AMP}

engine = subprocess.Popen(
    [sys.executable, "-m", "derms", "cosim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
)
assert engine.stdin is not None
assert engine.stdout is not None


def ask(line: dict) -> dict:
    print(json.dumps(line), file=engine.stdin, flush=True)
    answer = json.loads(engine.stdout.readline())
    if "error" in answer:
        sys.exit(answer["error"]["message"])
    return answer


chance = random.Random(1)
cars = {}
for number in range(16):
    arrives_s = chance.gauss(8.5, 0.8) * HOUR_S
    leaves_s = arrives_s + chance.uniform(4.0, 9.0) * HOUR_S
    cars[f"car-{number:02d}"] = {"arrives": arrives_s, "leaves": leaves_s, "asks": chance.uniform(5.0, 28.0)}

ask({"nodes": {"garage": {"import_limit_kw": LIMIT_KW}}, "parameters": {"interval_s": STEP_S}})
event = {"id": "lunch", "start": 11 * HOUR_S, "end": 12 * HOUR_S, "import_limit_kw": 18.0}
plugged, got_kwh, drew_kw = {}, dict.fromkeys(cars, 0.0), {}
print("  time   limit  cars  charging   load  waiting for their turn")
for now in range(6 * HOUR_S, 19 * HOUR_S, STEP_S):
    gone = [name for name, car in plugged.items() if car["leaves"] <= now]
    devices = {}
    for name in gone:
        del plugged[name]
    for name, car in cars.items():
        if car["arrives"] <= now < car["leaves"]:
            # Registration when it comes, measurements always: what it drew in the last step, and what is still missing.
            new = {} if name in plugged else {**CHARGER, "ready_by": car["leaves"]}
            left_kwh = car["asks"] - got_kwh[name]
            devices[name] = {**new, "p_actual_kw": drew_kw.get(name, 0.0), "energy_needed_kwh": left_kwh}
            plugged[name] = car
    answer = ask({"now": now, "devices": devices, "gone": gone, "events": [event] if now == 6 * HOUR_S else []})
    for name, car in plugged.items():
        setpoint_kw = answer["setpoints"].get(name, {"p_setpoint_kw": 0.0})["p_setpoint_kw"]
        missing_kw = (car["asks"] - got_kwh[name]) * HOUR_S / STEP_S
        drew_kw[name] = min(setpoint_kw, missing_kw)
        got_kwh[name] += drew_kw[name] * STEP_S / HOUR_S
    if now % HOUR_S == 0 and plugged:
        load_kw = [drew_kw[name] for name in plugged]
        charging = sum(kw > 0.0 for kw in load_kw)
        waiting = sum("waiting" in why for why in answer["why"].values())
        limit_kw = answer["nodes"]["garage"]["import_limit_kw"]
        row = f"{now // HOUR_S:4d}:00 {limit_kw:7.1f} {len(plugged):5d} {charging:9d} {sum(load_kw):6.1f} {waiting:5d}"
        print(row)

asked, got = sum(car["asks"] for car in cars.values()), sum(got_kwh.values())
full = sum(got_kwh[name] > 0.99 * car["asks"] for name, car in cars.items())
print(f"delivered {got:.1f} of {asked:.1f} kWh; {full} of {len(cars)} cars have all they asked for")
engine.stdin.close()
sys.exit(engine.wait())
