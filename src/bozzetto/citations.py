"""The publications that the code is based on: one list for `bozzetto cite` and for the paper map."""

import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

Engine = Literal["inverse", "heightmap", "sdf", "score", "points", "photometric", "metrics"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
"""Names that `bozzetto cite` accepts: the sub-packages with tasks for users."""


@dataclass(frozen=True)
class Reference:
    """A publication.

    Attributes:
        label: Citation in docstrings, for instance `Park et al. 2019`; its last word is the year.
        authors: Authors as "Given Family"; empty if they are unknown.
        title: Title as printed.
        venue: Journal or conference.
        kind: Type of the BibTeX entry.
        engines: Engines that are based on it.
        note: Remark for the reader, for instance that no paper was published.
    """

    label: str
    authors: tuple[str, ...]
    title: str
    venue: str
    kind: Literal["article", "inproceedings", "techreport", "misc"]
    engines: tuple[Engine, ...]
    note: str = ""

    @property
    def year(self) -> str:
        """Year of publication, four digits."""
        return self.label.split()[-1]

    @property
    def key(self) -> str:
        """Key of the BibTeX entry, of plain letters and digits: the first word of the label and the year."""
        plain = unicodedata.normalize("NFKD", self.label.split()[0]).encode("ascii", "ignore").decode()
        return f"{plain.lower()}{self.year}"

    def bibtex(self) -> str:
        """The BibTeX entry in UTF-8; unknown fields are left out."""
        holder = {"article": "journal", "techreport": "institution", "misc": "howpublished"}
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}" if self.title else "",  # braces keep the capitals
            holder.get(self.kind, "booktitle"): self.venue,
            "year": self.year,
            "note": self.note,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def cited_by(engine: Engine | None = None) -> list[Reference]:
    """References that an engine is based on; all references if `engine` is None."""
    return [reference for reference in REFERENCES if engine is None or engine in reference.engines]


TOG = "ACM Transactions on Graphics"
PAMI = "IEEE Transactions on Pattern Analysis and Machine Intelligence"
NEURIPS = "Advances in Neural Information Processing Systems"

REFERENCES = (
    Reference(
        "Nicolet et al. 2021",
        ("Baptiste Nicolet", "Alec Jacobson", "Wenzel Jakob"),
        "Large Steps in Inverse Rendering of Geometry",
        TOG,
        "article",
        ("inverse", "photometric", "metrics"),
    ),
    Reference(
        "Laine et al. 2020",
        (
            "Samuli Laine",
            "Janne Hellsten",
            "Tero Karras",
            "Yeongho Seol",
            "Jaakko Lehtinen",
            "Timo Aila",
        ),
        "Modular Primitives for High-Performance Differentiable Rendering",
        TOG,
        "article",
        ("inverse",),
    ),
    Reference(
        "Yariv et al. 2021",
        ("Lior Yariv", "Jiatao Gu", "Yoni Kasten", "Yaron Lipman"),
        "Volume Rendering of Neural Implicit Surfaces",
        "Advances in Neural Information Processing Systems",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Wang et al. 2021",
        ("Peng Wang", "Lingjie Liu", "Yuan Liu", "Christian Theobalt", "Taku Komura", "Wenping Wang"),
        "NeuS: Learning Neural Implicit Surfaces by Volume Rendering for Multi-view Reconstruction",
        "Advances in Neural Information Processing Systems",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Park et al. 2019",
        ("Jeong Joon Park", "Peter Florence", "Julian Straub", "Richard Newcombe", "Steven Lovegrove"),
        "DeepSDF: Learning Continuous Signed Distance Functions for Shape Representation",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        "inproceedings",
        ("sdf", "metrics"),
    ),
    Reference(
        "Cai et al. 2020",
        (
            "Ruojin Cai",
            "Guandao Yang",
            "Hadar Averbuch-Elor",
            "Zekun Hao",
            "Serge Belongie",
            "Noah Snavely",
            "Bharath Hariharan",
        ),
        "Learning Gradient Fields for Shape Generation",
        "European Conference on Computer Vision",
        "inproceedings",
        ("score", "metrics"),
    ),
    Reference(
        "Height study 2025",
        (),
        "",
        "",
        "misc",
        ("heightmap", "metrics"),
        "Study of October 2025 on heights of textures from one photograph: U-Net with an EfficientNet-B7 "
        "encoder, L1 and LPIPS. Neither code nor data were published; authors and title are not known to us",
    ),
    # Inverse rendering, cameras, meshes.
    Reference(
        "Botsch and Kobbelt 2004",
        ("Mario Botsch", "Leif Kobbelt"),
        "A Remeshing Approach to Multiresolution Modeling",
        "Symposium on Geometry Processing",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Ling et al. 2022",
        ("Selena Ling", "Nicholas Sharp", "Alec Jacobson"),
        "VectorAdam for Rotation Equivariant Geometry Optimization",
        NEURIPS,
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Palfinger 2022",
        ("Werner Palfinger",),
        "Continuous Remeshing for Inverse Rendering",
        "Computer Animation and Virtual Worlds",
        "article",
        ("inverse", "metrics"),
    ),
    Reference(
        "Ramamoorthi and Hanrahan 2001",
        ("Ravi Ramamoorthi", "Pat Hanrahan"),
        "An Efficient Representation for Irradiance Environment Maps",
        "SIGGRAPH",
        "inproceedings",
        ("inverse", "photometric"),
    ),
    Reference(
        "Olano and Greer 1997",
        ("Marc Olano", "Trey Greer"),
        "Triangle Scan Conversion Using 2D Homogeneous Coordinates",
        "Workshop on Graphics Hardware",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Pinkall and Polthier 1993",
        ("Ulrich Pinkall", "Konrad Polthier"),
        "Computing Discrete Minimal Surfaces and Their Conjugates",
        "Experimental Mathematics",
        "article",
        ("inverse",),
    ),
    Reference(
        "Laurentini 1994",
        ("Aldo Laurentini",),
        "The Visual Hull Concept for Silhouette-Based Image Understanding",
        PAMI,
        "article",
        ("inverse",),
    ),
    Reference(
        "Schoenberger and Frahm 2016",
        ("Johannes L. Schönberger", "Jan-Michael Frahm"),
        "Structure-from-Motion Revisited",
        "IEEE Conference on Computer Vision and Pattern Recognition",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Campbell et al. 2010",
        ("Neill D. F. Campbell", "George Vogiatzis", "Carlos Hernández", "Roberto Cipolla"),
        "Automatic 3D Object Segmentation in Multiple Views Using Volumetric Graph-Cuts",
        "Image and Vision Computing",
        "article",
        ("inverse",),
    ),
    Reference(
        "Kowdle et al. 2012",
        ("Adarsh Kowdle", "Sudipta N. Sinha", "Richard Szeliski"),
        "Multiple View Object Cosegmentation Using Appearance and Stereo Cues",
        "European Conference on Computer Vision",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Boykov and Jolly 2001",
        ("Yuri Y. Boykov", "Marie-Pierre Jolly"),
        "Interactive Graph Cuts for Optimal Boundary and Region Segmentation of Objects in N-D Images",
        "IEEE International Conference on Computer Vision",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Collins 1996",
        ("Robert T. Collins",),
        "A Space-Sweep Approach to True Multi-Image Matching",
        "IEEE Conference on Computer Vision and Pattern Recognition",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Hernandez et al. 2007",
        ("Carlos Hernández", "Francis Schmitt", "Roberto Cipolla"),
        "Silhouette Coherence for Camera Calibration under Circular Motion",
        PAMI,
        "article",
        ("inverse",),
    ),
    Reference(
        "Benhimane and Malis 2004",
        ("Selim Benhimane", "Ezio Malis"),
        "Real-Time Image-Based Tracking of Planes Using Efficient Second-Order Minimization",
        "IEEE/RSJ International Conference on Intelligent Robots and Systems",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Levy et al. 2002",
        ("Bruno Lévy", "Sylvain Petitjean", "Nicolas Ray", "Jérôme Maillot"),
        "Least Squares Conformal Maps for Automatic Texture Atlas Generation",
        TOG,
        "article",
        ("inverse",),
    ),
    Reference(
        "Baumberg 2002",
        ("Adam Baumberg",),
        "Blending Images for Texturing 3D Models",
        "British Machine Vision Conference",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Gortler et al. 1996",
        ("Steven J. Gortler", "Radek Grzeszczuk", "Richard Szeliski", "Michael F. Cohen"),
        "The Lumigraph",
        "SIGGRAPH",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Garland and Heckbert 1997",
        ("Michael Garland", "Paul S. Heckbert"),
        "Surface Simplification Using Quadric Error Metrics",
        "SIGGRAPH",
        "inproceedings",
        ("inverse", "sdf", "points"),
    ),
    Reference(
        "Lewiner et al. 2003",
        ("Thomas Lewiner", "Hélio Lopes", "Antônio Wilson Vieira", "Geovan Tavares"),
        "Efficient Implementation of Marching Cubes' Cases with Topological Guarantees",
        "Journal of Graphics Tools",
        "article",
        ("inverse", "sdf", "points"),
    ),
    Reference(
        "Dunyach et al. 2013",
        ("Marion Dunyach", "David Vanderhaeghe", "Loïc Barthe", "Mario Botsch"),
        "Adaptive Remeshing for Real-Time Mesh Deformation",
        "Eurographics (short papers)",
        "inproceedings",
        ("inverse",),
    ),
    Reference(
        "Dey et al. 1999",
        ("Tamal K. Dey", "Herbert Edelsbrunner", "Sumanta Guha", "Dmitry V. Nekhayev"),
        "Topology Preserving Edge Contraction",
        "Publications de l'Institut Mathématique",
        "article",
        ("inverse",),
    ),
    Reference(
        "Rivara 1984",
        ("Maria-Cecilia Rivara",),
        "Algorithms for Refining Triangular Grids Suitable for Adaptive and Multigrid Techniques",
        "International Journal for Numerical Methods in Engineering",
        "article",
        ("inverse",),
    ),
    Reference(
        "Moller 1997",
        ("Tomas Möller",),
        "A Fast Triangle-Triangle Intersection Test",
        "Journal of Graphics Tools",
        "article",
        ("inverse", "metrics"),
    ),
    Reference(
        "Thürmer and Wüthrich 1998",
        ("Grit Thürmer", "Charles A. Wüthrich"),
        "Computing Vertex Normals from Polygonal Facets",
        "Journal of Graphics Tools",
        "article",
        ("inverse",),
    ),
    Reference(
        "Hestenes and Stiefel 1952",
        ("Magnus R. Hestenes", "Eduard Stiefel"),
        "Methods of Conjugate Gradients for Solving Linear Systems",
        "Journal of Research of the National Bureau of Standards",
        "article",
        ("inverse", "sdf", "photometric"),
    ),
    # Signed distance and priors over shapes.
    Reference(
        "Jacobson et al. 2013",
        ("Alec Jacobson", "Ladislav Kavan", "Olga Sorkine-Hornung"),
        "Robust Inside-Outside Segmentation Using Generalized Winding Numbers",
        TOG,
        "article",
        ("sdf", "inverse"),
    ),
    Reference(
        "Barill et al. 2018",
        ("Gavin Barill", "Neil G. Dickson", "Ryan Schmidt", "David I. W. Levin", "Alec Jacobson"),
        "Fast Winding Numbers for Soups and Clouds",
        TOG,
        "article",
        ("sdf", "inverse"),
    ),
    Reference(
        "Takayama et al. 2014",
        ("Kenshi Takayama", "Alec Jacobson", "Ladislav Kavan", "Olga Sorkine-Hornung"),
        "A Simple Method for Correcting Facet Orientations in Polygon Meshes Based on Ray Casting",
        "Journal of Computer Graphics Techniques",
        "article",
        ("sdf",),
    ),
    Reference(
        "Levenberg 1944",
        ("Kenneth Levenberg",),
        "A Method for the Solution of Certain Non-Linear Problems in Least Squares",
        "Quarterly of Applied Mathematics",
        "article",
        ("sdf",),
    ),
    Reference(
        "Marquardt 1963",
        ("Donald W. Marquardt",),
        "An Algorithm for Least-Squares Estimation of Nonlinear Parameters",
        "Journal of the Society for Industrial and Applied Mathematics",
        "article",
        ("sdf",),
    ),
    Reference(
        "Nielsen 1999",
        ("Hans Bruun Nielsen",),
        "Damping Parameter in Marquardt's Method",
        "Technical University of Denmark",
        "techreport",
        ("sdf",),
    ),
    Reference(
        "Bassett and Koenker 1978",
        ("Gilbert Bassett", "Roger Koenker"),
        "Asymptotic Theory of Least Absolute Error Regression",
        "Journal of the American Statistical Association",
        "article",
        ("sdf",),
    ),
    Reference(
        "Chen et al. 2010",
        ("Yilun Chen", "Ami Wiesel", "Yonina C. Eldar", "Alfred O. Hero"),
        "Shrinkage Algorithms for MMSE Covariance Estimation",
        "IEEE Transactions on Signal Processing",
        "article",
        ("sdf",),
    ),
    Reference(
        "Bardsley et al. 2014",
        ("Johnathan M. Bardsley", "Antti Solonen", "Heikki Haario", "Marko Laine"),
        "Randomize-Then-Optimize: A Method for Sampling from Posterior Distributions in Nonlinear Inverse "
        "Problems",
        "SIAM Journal on Scientific Computing",
        "article",
        ("sdf",),
    ),
    Reference(
        "Shoemake 1985",
        ("Ken Shoemake",),
        "Animating Rotation with Quaternion Curves",
        "SIGGRAPH",
        "inproceedings",
        ("sdf",),
    ),
    Reference(
        "Wendland 1995",
        ("Holger Wendland",),
        "Piecewise Polynomial, Positive Definite and Compactly Supported Radial Functions of Minimal Degree",
        "Advances in Computational Mathematics",
        "article",
        ("sdf",),
    ),
    Reference(
        "Mildenhall et al. 2020",
        (
            "Ben Mildenhall",
            "Pratul P. Srinivasan",
            "Matthew Tancik",
            "Jonathan T. Barron",
            "Ravi Ramamoorthi",
            "Ren Ng",
        ),
        "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis",
        "European Conference on Computer Vision",
        "inproceedings",
        ("sdf", "score"),
    ),
    # Gradient fields of clouds.
    Reference(
        "Karras et al. 2022",
        ("Tero Karras", "Miika Aittala", "Timo Aila", "Samuli Laine"),
        "Elucidating the Design Space of Diffusion-Based Generative Models",
        NEURIPS,
        "inproceedings",
        ("score",),
    ),
    Reference(
        "Lu et al. 2022",
        ("Cheng Lu", "Yuhao Zhou", "Fan Bao", "Jianfei Chen", "Chongxuan Li", "Jun Zhu"),
        "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
        "arXiv:2211.01095",
        "misc",
        ("score",),
    ),
    Reference(
        "Xu et al. 2023",
        ("Yilun Xu", "Shangyuan Tong", "Tommi Jaakkola"),
        "Stable Target Field for Reduced Variance Score Estimation in Diffusion Models",
        "International Conference on Learning Representations",
        "inproceedings",
        ("score",),
    ),
    Reference(
        "Lipman et al. 2023",
        ("Yaron Lipman", "Ricky T. Q. Chen", "Heli Ben-Hamu", "Maximilian Nickel", "Matt Le"),
        "Flow Matching for Generative Modeling",
        "International Conference on Learning Representations",
        "inproceedings",
        ("score",),
    ),
    Reference(
        "Liu et al. 2023",
        ("Xingchao Liu", "Chengyue Gong", "Qiang Liu"),
        "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
        "International Conference on Learning Representations",
        "inproceedings",
        ("score",),
    ),
    Reference(
        "Ho and Salimans 2022",
        ("Jonathan Ho", "Tim Salimans"),
        "Classifier-Free Diffusion Guidance",
        "arXiv:2207.12598",
        "misc",
        ("score",),
    ),
    Reference(
        "Puny et al. 2022",
        (
            "Omri Puny",
            "Matan Atzmon",
            "Heli Ben-Hamu",
            "Ishan Misra",
            "Aditya Grover",
            "Edward J. Smith",
            "Yaron Lipman",
        ),
        "Frame Averaging for Invariant and Equivariant Network Design",
        "International Conference on Learning Representations",
        "inproceedings",
        ("score",),
    ),
    # Clouds.
    Reference(
        "Kazhdan and Hoppe 2013",
        ("Michael Kazhdan", "Hugues Hoppe"),
        "Screened Poisson Surface Reconstruction",
        TOG,
        "article",
        ("points",),
    ),
    Reference(
        "Kazhdan et al. 2006",
        ("Michael Kazhdan", "Matthew Bolitho", "Hugues Hoppe"),
        "Poisson Surface Reconstruction",
        "Symposium on Geometry Processing",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "Hou et al. 2022",
        ("Fei Hou", "Chiyu Wang", "Wencheng Wang", "Hong Qin", "Chen Qian", "Ying He"),
        "Iterative Poisson Surface Reconstruction (iPSR) for Unoriented Points",
        TOG,
        "article",
        ("points",),
    ),
    Reference(
        "Lin et al. 2024",
        ("Siyou Lin", "Zuoqiang Shi", "Yebin Liu"),
        "Fast and Globally Consistent Normal Orientation Based on the Winding Number Normal Consistency",
        TOG,
        "article",
        ("points",),
    ),
    Reference(
        "Hoppe et al. 1992",
        ("Hugues Hoppe", "Tony DeRose", "Tom Duchamp", "John McDonald", "Werner Stuetzle"),
        "Surface Reconstruction from Unorganized Points",
        "SIGGRAPH",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "König and Gumhold 2009",
        ("Sören König", "Stefan Gumhold"),
        "Consistent Propagation of Normal Orientations in Point Clouds",
        "Vision, Modeling, and Visualization",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "Cazals and Pouget 2005",
        ("Frédéric Cazals", "Marc Pouget"),
        "Estimating Differential Quantities Using Polynomial Fitting of Osculating Jets",
        "Computer Aided Geometric Design",
        "article",
        ("points",),
    ),
    Reference(
        "Levin 2003",
        ("David Levin",),
        "Mesh-Independent Surface Interpolation",
        "Geometric Modeling for Scientific Visualization",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "Tomasi and Manduchi 1998",
        ("Carlo Tomasi", "Roberto Manduchi"),
        "Bilateral Filtering for Gray and Color Images",
        "IEEE International Conference on Computer Vision",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "Kolluri 2005",
        ("Ravikrishna Kolluri",),
        "Provably Good Moving Least Squares",
        "ACM-SIAM Symposium on Discrete Algorithms",
        "inproceedings",
        ("points",),
    ),
    Reference(
        "Koenker and Bassett 1978",
        ("Roger Koenker", "Gilbert Bassett"),
        "Regression Quantiles",
        "Econometrica",
        "article",
        ("points",),
    ),
    # Heights and photometry.
    Reference(
        "Ronneberger et al. 2015",
        ("Olaf Ronneberger", "Philipp Fischer", "Thomas Brox"),
        "U-Net: Convolutional Networks for Biomedical Image Segmentation",
        "Medical Image Computing and Computer-Assisted Intervention",
        "inproceedings",
        ("heightmap",),
    ),
    Reference(
        "Tan and Le 2019",
        ("Mingxing Tan", "Quoc V. Le"),
        "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        "International Conference on Machine Learning",
        "inproceedings",
        ("heightmap",),
    ),
    Reference(
        "Zhang et al. 2018",
        ("Richard Zhang", "Phillip Isola", "Alexei A. Efros", "Eli Shechtman", "Oliver Wang"),
        "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
        "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
        "inproceedings",
        ("heightmap", "metrics"),
    ),
    Reference(
        "Hu et al. 2019",
        ("Junjie Hu", "Mete Ozay", "Yan Zhang", "Takayuki Okatani"),
        "Revisiting Single Image Depth Estimation: Toward Higher Resolution Maps with Accurate Object "
        "Boundaries",
        "IEEE Winter Conference on Applications of Computer Vision",
        "inproceedings",
        ("heightmap",),
    ),
    Reference(
        "Wang et al. 2004",
        ("Zhou Wang", "Alan C. Bovik", "Hamid R. Sheikh", "Eero P. Simoncelli"),
        "Image Quality Assessment: From Error Visibility to Structural Similarity",
        "IEEE Transactions on Image Processing",
        "article",
        ("heightmap", "metrics"),
    ),
    Reference(
        "Frankot and Chellappa 1988",
        ("Robert T. Frankot", "Rama Chellappa"),
        "A Method for Enforcing Integrability in Shape from Shading Algorithms",
        PAMI,
        "article",
        ("heightmap", "photometric"),
    ),
    Reference(
        "Simchony et al. 1990",
        ("Tal Simchony", "Rama Chellappa", "Min Shao"),
        "Direct Analytical Methods for Solving Poisson Equations in Computer Vision Problems",
        PAMI,
        "article",
        ("heightmap", "photometric"),
    ),
    Reference(
        "Makhoul 1980",
        ("John Makhoul",),
        "A Fast Cosine Transform in One and Two Dimensions",
        "IEEE Transactions on Acoustics, Speech, and Signal Processing",
        "article",
        ("heightmap", "photometric"),
    ),
    Reference(
        "Woodham 1980",
        ("Robert J. Woodham",),
        "Photometric Method for Determining Surface Orientation from Multiple Images",
        "Optical Engineering",
        "article",
        ("photometric", "heightmap"),
    ),
    Reference(
        "Hayakawa 1994",
        ("Hideki Hayakawa",),
        "Photometric Stereo under a Light Source with Arbitrary Motion",
        "Journal of the Optical Society of America A",
        "article",
        ("photometric",),
    ),
    Reference(
        "Belhumeur et al. 1999",
        ("Peter N. Belhumeur", "David J. Kriegman", "Alan L. Yuille"),
        "The Bas-Relief Ambiguity",
        "International Journal of Computer Vision",
        "article",
        ("photometric",),
    ),
    Reference(
        "Yuan et al. 2017",
        ("Wenzhen Yuan", "Siyuan Dong", "Edward H. Adelson"),
        "GelSight: High-Resolution Robot Tactile Sensors for Estimating Geometry and Force",
        "Sensors",
        "article",
        ("photometric",),
    ),
    Reference(
        "Perez et al. 2003",
        ("Patrick Pérez", "Michel Gangnet", "Andrew Blake"),
        "Poisson Image Editing",
        TOG,
        "article",
        ("photometric",),
    ),
    # Measures.
    Reference(
        "Yang et al. 2019",
        (
            "Guandao Yang",
            "Xun Huang",
            "Zekun Hao",
            "Ming-Yu Liu",
            "Serge Belongie",
            "Bharath Hariharan",
        ),
        "PointFlow: 3D Point Cloud Generation with Continuous Normalizing Flows",
        "IEEE/CVF International Conference on Computer Vision",
        "inproceedings",
        ("metrics", "score"),
    ),
    Reference(
        "Achlioptas et al. 2018",
        ("Panos Achlioptas", "Olga Diamanti", "Ioannis Mitliagkas", "Leonidas Guibas"),
        "Learning Representations and Generative Models for 3D Point Clouds",
        "International Conference on Machine Learning",
        "inproceedings",
        ("metrics",),
    ),
    Reference(
        "Bertsekas 1992",
        ("Dimitri P. Bertsekas",),
        "Auction Algorithms for Network Flow Problems: A Tutorial Introduction",
        "Computational Optimization and Applications",
        "article",
        ("metrics",),
    ),
    Reference(
        "Knapitsch et al. 2017",
        ("Arno Knapitsch", "Jaesik Park", "Qian-Yi Zhou", "Vladlen Koltun"),
        "Tanks and Temples: Benchmarking Large-Scale Scene Reconstruction",
        TOG,
        "article",
        ("metrics",),
    ),
    Reference(
        "Umeyama 1991",
        ("Shinji Umeyama",),
        "Least-Squares Estimation of Transformation Parameters between Two Point Patterns",
        PAMI,
        "article",
        ("metrics",),
    ),
    Reference(
        "Chen and Medioni 1992",
        ("Yang Chen", "Gérard Medioni"),
        "Object Modelling by Registration of Multiple Range Images",
        "Image and Vision Computing",
        "article",
        ("metrics",),
    ),
    Reference(
        "Haralick et al. 1973",
        ("Robert M. Haralick", "K. Shanmugam", "Its'hak Dinstein"),
        "Textural Features for Image Classification",
        "IEEE Transactions on Systems, Man, and Cybernetics",
        "article",
        ("metrics",),
    ),
    Reference(
        "Canny 1986",
        ("John Canny",),
        "A Computational Approach to Edge Detection",
        PAMI,
        "article",
        ("metrics",),
    ),
)
