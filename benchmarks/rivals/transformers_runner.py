"""`transformers`' generate with a decoder of equal sizes, for `python -m benchmarks.captions transformers`.

A process of its own, in an environment that has torch and transformers. Its first argument is the sizes, as JSON;
each line of stdin is a run, {"texts", "tokens", "threads"}, and is answered with {"seconds", "cpu_seconds"}.

The decoder is GPT-2's with cross-attention within a VisionEncoderDecoderModel, as the library's image captioning
has it: norms before the layers, tied embeddings. Set up as its documentation advises: eval, inference mode, the
key-value cache, a whole batch at once; float32 on a CPU."""

import json
import sys
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel, VisionEncoderDecoderModel, ViTConfig, ViTModel
from transformers.modeling_outputs import BaseModelOutput


def build(sizes: dict[str, int]) -> VisionEncoderDecoderModel:
    """The encoder is as small as can be: what it would give is handed over."""
    width = sizes["hidden"]
    decoder = GPT2Config(
        vocab_size=sizes["vocabulary"],
        n_positions=sizes["positions"],
        n_embd=width,
        n_layer=sizes["layers"],
        n_head=sizes["heads"],
        n_inner=sizes["feedforward"],
        activation_function="relu",
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    encoder = ViTConfig(hidden_size=width, num_hidden_layers=1, num_attention_heads=4, intermediate_size=width)
    model = VisionEncoderDecoderModel(encoder=ViTModel(encoder), decoder=GPT2LMHeadModel(decoder))
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, 0, None
    return model.eval()


def main() -> None:
    sizes = json.loads(sys.argv[1])
    torch.manual_seed(0)
    model = build(sizes)
    sys.stdout.write(json.dumps({"parameters": sum(part.numel() for part in model.decoder.parameters())}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        run = json.loads(line)
        torch.set_num_threads(run["threads"])
        memory = torch.randn(run["texts"], sizes["memory"], sizes["hidden"])
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            found = model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory),
                max_new_tokens=run["tokens"],
                min_new_tokens=run["tokens"],
                do_sample=False,
                num_beams=1,
                use_cache=True,
            )
        seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        if found.shape != (run["texts"], run["tokens"] + 1):
            raise SystemExit(f"{tuple(found.shape)} numbers, not what was asked for")
        sys.stdout.write(json.dumps(seconds) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
