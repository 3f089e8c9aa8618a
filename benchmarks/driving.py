"""How well a policy drives tracks that it has never seen, through the service: with all, with less, with faults.

    python -m benchmarks.driving --model driving --voices SPEECH_COMMANDS --out benchmarks/results/driving.json

Each setting is written when it is done; the same call goes on with the next. 20 tracks take some minutes each."""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from training.driving.client import reach
from training.driving.drive import drive, summary
from training.driving.faults import FAULTS, Fault
from training.driving.pilot import Manners, Pilot
from training.driving.recorder import FIRST_UNSEEN_SEED
from training.driving.voices import read_voices
from training.progress import TerminalProgress

OFF_TICK = 400
"""In the middle of a lap: 8 s."""

PUBLISHED = {
    "what": "CarRacing-v0, mean and deviation over 100 tracks, as World Models (Ha, Schmidhuber 2018) is quoted. "
    "Those learn from the reward and see frames alone; the policy here imitates an expert and has sensors too.",
    "DQN": "343 ± 18",
    "A3C, continuous": "591 ± 45",
    "A3C, discrete": "652 ± 10",
    "leaderboard of then": "838 ± 11",
    "World Models, without memory": "632 ± 251",
    "World Models": "906 ± 21",
    "RecurrentPPO, best of CarRacing-v0 on Hugging Face's Deep RL leaderboard": "897 ± 23",
    "PPO, best of CarRacing-v2 there": "902 ± 24",
}


class Setting(NamedTuple):
    """How a policy is tried. `few`: on the smaller number of tracks."""

    commanded: bool = False
    spoken: bool = False
    without: tuple[str, ...] = ()
    from_tick: int = 0
    fault: Fault | None = None
    fallback: bool = False
    few: bool = True


SETTINGS = {
    "go": Setting(fallback=True, few=False),
    "commands, written": Setting(commanded=True, fallback=True),
    "commands, spoken by unheard voices": Setting(commanded=True, spoken=True, fallback=True),
    "camera alone": Setting(without=("words", "sensors")),
    "sensors alone": Setting(without=("image", "words")),
    "camera and sensors": Setting(without=("words",)),
    "camera and words": Setting(without=("sensors",)),
    "words and sensors": Setting(without=("image",)),
    "words off at 8 s": Setting(without=("words",), from_tick=OFF_TICK),
    "sensors off at 8 s": Setting(without=("sensors",), from_tick=OFF_TICK),
    "camera off at 8 s": Setting(without=("image",), from_tick=OFF_TICK),
    "camera off at 8 s, with the fallback": Setting(without=("image",), from_tick=OFF_TICK, fallback=True),
    **{
        f"{fault.replace('_', ' ')} at 8 s{', with the fallback' * fallback}": Setting(
            fault=fault, from_tick=OFF_TICK, fallback=fallback
        )
        for fault in FAULTS
        for fallback in (False, True)
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="driving")
    parser.add_argument("--tracks", type=int, default=100, help="under go alone, with everything")
    parser.add_argument("--few", type=int, default=20, help="in each other setting")
    parser.add_argument("--voices", type=Path, help="without it, nothing is spoken")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--only", help="names of settings by semicolons")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    found["published"] = PUBLISHED
    for name, setting in SETTINGS.items():
        unheard = setting.spoken and options.voices is None
        if unheard or name in found or (options.only and name not in options.only.split(";")):
            continue
        found[name] = _try(options, setting)
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        shown = {key: found[name][key] for key in ("tracks", "reward", "expert_reward", "ratio", "answer_ms")}
        print(name, json.dumps(shown), json.dumps(found[name]["obeyed"]["all"]))


def _try(options: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    spoken = read_voices(options.voices, options.fold)["test"] if setting.spoken else None
    manners = Manners(
        spoken=spoken,
        without=setting.without,
        fault=setting.fault,
        from_tick=setting.from_tick,
        fallback=setting.fallback,
    )
    service = reach(options.url, options.model)
    pilot = Pilot(service, manners)
    count = options.few if setting.few else options.tracks
    seeds = range(FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + count)
    try:
        with TerminalProgress() as progress:
            driven = list(drive(seeds, pilot, progress, commanded=setting.commanded))
    finally:
        service.close()
    figures = summary(driven, pilot.seconds, broken_from=manners.broken_from)
    return {"setting": setting._asdict(), "answers": pilot.figures(), **figures}


if __name__ == "__main__":
    main()
