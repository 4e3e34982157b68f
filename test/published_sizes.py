"""The sizes of the published 8.5 B checkpoint, as its config.json says them."""

PUBLISHED_SIZES = {
    "image_size": 512,
    "prompt_numbers": 6,
    "roi_output_size": 4,
    "vision_model_config": {
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
        }
    },
    "language_model_config": {
        "vocab_size": 126464,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}
