"""What a network is worth: outputs for each subset of the modalities, calibration, figures, what fusion gains."""
