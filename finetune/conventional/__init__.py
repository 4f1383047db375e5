"""The conventional pipeline (Sect. 4.4): mixture, encoding and SVM after the CNN is fine-tuned."""
